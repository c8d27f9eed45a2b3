# What is installed, in components: `daemon` (the programs and what belongs to them) and `client` (the library for
# programs that talk to the daemon). `debian` and `debian_client` have what only the packages bring (cmake/packaging.cmake).
#
# `cmake --install build/release --prefix DIR` works for any DIR: what names the prefix is written while it is installed.
# The build is not made complete first: the tests are part of it, and nothing of them is installed.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

# Debian's folder for libraries of one architecture, whatever the prefix.
if(NOT DEFINED CMAKE_INSTALL_LIBDIR AND CMAKE_LIBRARY_ARCHITECTURE AND EXISTS /etc/debian_version)
  set(CMAKE_INSTALL_LIBDIR "lib/${CMAKE_LIBRARY_ARCHITECTURE}" CACHE PATH "Folder of the libraries")
endif()
include(GNUInstallDirs)

# ggufd_install_filled(TEMPLATE DESTINATION COMPONENT): with @bindir@ and the like filled in for the prefix.
function(ggufd_install_filled template destination component)
  get_filename_component(name "${template}" NAME)
  string(REGEX REPLACE "\\.in$" "" name "${name}")
  set(filled "${CMAKE_BINARY_DIR}/filled/${destination}/${name}")
  install(CODE "
    set(bindir \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    set(libdir \"${CMAKE_INSTALL_LIBDIR}\")
    set(version \"${PROJECT_VERSION}\")
    file(RELATIVE_PATH to_prefix \"/${destination}\" \"/\")
    configure_file(\"${template}\" \"${filled}\" @ONLY)" COMPONENT ${component})
  install(FILES "${filled}" DESTINATION "${destination}" COMPONENT ${component})
endfunction()

# ggufd_install_compressed(COMPONENT DESTINATION GLOB [NAME]): each file that there is by then, as gzip -9n leaves it.
function(ggufd_install_compressed component destination glob)
  if(component MATCHES "^debian")
    set(exclude EXCLUDE_FROM_ALL)
  endif()
  install(CODE "
    file(GLOB files \"${glob}\")
    foreach(file IN LISTS files)
      set(name \"${ARGN}\")
      if(NOT name)
        get_filename_component(name \"\${file}\" NAME)
      endif()
      set(compressed \"${CMAKE_BINARY_DIR}/filled/${destination}/\${name}.gz\")
      get_filename_component(folder \"\${compressed}\" DIRECTORY)
      file(MAKE_DIRECTORY \"\${folder}\")
      execute_process(COMMAND gzip -9nc \"\${file}\" OUTPUT_FILE \"\${compressed}\" COMMAND_ERROR_IS_FATAL ANY)
      file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${destination}\" TYPE FILE FILES \"\${compressed}\")
    endforeach()" COMPONENT ${component} ${exclude})
endfunction()

set(service "${CMAKE_SOURCE_DIR}/daemon/service")
set(docs "${CMAKE_INSTALL_DATADIR}/doc")

# ---- The daemon ------------------------------------------------------------------------------------------------------

install(TARGETS ggufd ggufctl RUNTIME COMPONENT daemon)
ggufd_install_filled("${service}/ggufd.service.in" lib/systemd/system daemon)
ggufd_install_filled("${service}/user/ggufd.service.in" lib/systemd/user daemon)
install(FILES "${service}/ggufd.socket" DESTINATION lib/systemd/system COMPONENT daemon)
install(FILES "${service}/user/ggufd.socket" DESTINATION lib/systemd/user COMPONENT daemon)
install(FILES "${service}/sysusers.conf" DESTINATION lib/sysusers.d RENAME ggufd.conf COMPONENT daemon)
install(FILES README.md DESTINATION "${docs}/ggufd" COMPONENT daemon)
# What it links to; built extensions and packages of others that lie in it stay behind.
install(DIRECTORY docs DESTINATION "${docs}/ggufd" COMPONENT daemon
  PATTERN man EXCLUDE PATTERN node_modules EXCLUDE PATTERN out EXCLUDE PATTERN ".*" EXCLUDE)
ggufd_install_filled("${service}/org.ggufd.daemon.plist.in" "${docs}/ggufd/examples" daemon)

# Where they were built: the targets `man` and `completions`.
foreach(section IN ITEMS 1 5 7 8)
  ggufd_install_compressed(daemon "${CMAKE_INSTALL_MANDIR}/man${section}" "${CMAKE_BINARY_DIR}/man/*.${section}")
endforeach()
set(completions "${CMAKE_BINARY_DIR}/completions")
install(FILES "${completions}/ggufctl" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT daemon OPTIONAL)
install(FILES "${completions}/_ggufctl" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions" COMPONENT daemon OPTIONAL)
install(FILES "${completions}/ggufctl.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT daemon OPTIONAL)

# ---- The client library ----------------------------------------------------------------------------------------------

set(client_cmake "${CMAKE_INSTALL_LIBDIR}/cmake/ggufd-client")
# Headers include each other as "protocol/…".
target_include_directories(ggufd_protocol INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ggufd>")
target_compile_features(ggufd_protocol INTERFACE "$<INSTALL_INTERFACE:cxx_std_23>")
set_target_properties(ggufd_protocol PROPERTIES OUTPUT_NAME ggufd-client EXPORT_NAME client)

install(TARGETS ggufd_protocol EXPORT ggufd-client-targets ARCHIVE COMPONENT client)
install(DIRECTORY protocol DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ggufd" COMPONENT client FILES_MATCHING PATTERN "*.h")
install(EXPORT ggufd-client-targets NAMESPACE ggufd:: DESTINATION "${client_cmake}" COMPONENT client)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(
  "${CMAKE_BINARY_DIR}/ggufd-client-config-version.cmake" VERSION "${PROJECT_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/ggufd-client-config-version.cmake" DESTINATION "${client_cmake}" COMPONENT client)
ggufd_install_filled("${CMAKE_SOURCE_DIR}/cmake/ggufd-client-config.cmake.in" "${client_cmake}" client)
ggufd_install_filled("${CMAKE_SOURCE_DIR}/cmake/ggufd-client.pc.in" "${CMAKE_INSTALL_LIBDIR}/pkgconfig" client)
install(DIRECTORY docs/clients/cpp/ DESTINATION "${docs}/libggufd-client-dev/examples" COMPONENT client)
