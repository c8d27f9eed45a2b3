# The Debian packages, made by `./dev package`: `ggufd` and `libggufd-client-dev`.
set(GGUFD_PACKAGE_CONTACT "The ggufd project <ggufd@ggufd.invalid>" CACHE STRING "Maintainer of the packages, with an address")
set(debian "${CMAKE_SOURCE_DIR}/daemon/service/debian")

# The package alone brings a configuration: a plain `cmake --install` leaves /etc alone.
install(FILES daemon/service/config.json DESTINATION /etc/ggufd COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES "${debian}/copyright" DESTINATION "${docs}/ggufd" COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES "${debian}/copyright" DESTINATION "${docs}/libggufd-client-dev" COMPONENT debian_client EXCLUDE_FROM_ALL)
# What is in it is for linkers; debuggers have no use for an archive without its sources.
install(CODE "
  execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug --enable-deterministic-archives
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libggufd-client.a\" COMMAND_ERROR_IS_FATAL ANY)"
  COMPONENT debian_client EXCLUDE_FROM_ALL)
ggufd_install_compressed(debian "${docs}/ggufd" "${debian}/changelog" changelog.Debian)
ggufd_install_compressed(debian_client "${docs}/libggufd-client-dev" "${debian}/changelog" changelog.Debian)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ggufd)
set(CPACK_PACKAGE_CONTACT "${GGUFD_PACKAGE_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_SOURCE_DIR}/build/package")

# One package a group, each of two components.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_COMPONENTS_ALL daemon debian client debian_client)
set(CPACK_COMPONENT_DAEMON_GROUP ggufd)
set(CPACK_COMPONENT_DEBIAN_GROUP ggufd)
set(CPACK_COMPONENT_CLIENT_GROUP libggufd-client-dev)
set(CPACK_COMPONENT_DEBIAN_CLIENT_GROUP libggufd-client-dev)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(CPACK_DEBIAN_GGUFD_PACKAGE_NAME ggufd)
set(CPACK_DEBIAN_GGUFD_PACKAGE_SECTION misc)
set(CPACK_DEBIAN_GGUFD_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_GGUFD_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_GGUFD_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_GGUFD_PACKAGE_SUGGESTS "llama.cpp, libggufd-client-dev")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each has its own
set(CPACK_DEBIAN_GGUFD_DESCRIPTION "daemon that brings GGUF models up and tells everyone how far it is
ggufd looks for a model's file, downloads and hashes it in one pass, maps it,
allocates its KV cache, supervises the llama-server that runs it, and tells
each step as one JSON line to every program on its Unix socket.

ggufctl, its client, shows and controls that, and looks into GGUF files.")
set(CPACK_DEBIAN_GGUFD_PACKAGE_CONTROL_EXTRA
    "${debian}/conffiles;${debian}/postinst;${debian}/prerm;${debian}/postrm")

set(CPACK_DEBIAN_LIBGGUFD-CLIENT-DEV_PACKAGE_NAME libggufd-client-dev)
set(CPACK_DEBIAN_LIBGGUFD-CLIENT-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBGGUFD-CLIENT-DEV_PACKAGE_DEPENDS "libfmt-dev, libsimdjson-dev")
set(CPACK_DEBIAN_LIBGGUFD-CLIENT-DEV_PACKAGE_SUGGESTS "ggufd, pkg-config")
set(CPACK_DEBIAN_LIBGGUFD-CLIENT-DEV_DESCRIPTION "client of ggufd's admin socket, for C++ (static library)
Connects to a running ggufd, reads its frames and asks it things: blocking
calls with deadlines, no event loop and no thread. With a CMake package
configuration, a pkg-config file and an example.")

include(CPack)
