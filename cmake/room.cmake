# ggufd_room(NAME [library...]): the current folder's (or its subfolder NAME's) sources as a static library ggufd_NAME.
# A room links what it may use and nothing else, so that an arrow in the wrong direction does not link.
function(ggufd_room name)
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}")
  if(IS_DIRECTORY "${folder}/${name}")
    string(APPEND folder "/${name}")
  endif()
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  add_library(ggufd_${name} STATIC ${sources})
  # Those who use an installed library (cmake/install.cmake) have nothing of this source tree.
  target_include_directories(ggufd_${name} PUBLIC
    "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>" "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/daemon>")
  target_compile_definitions(ggufd_${name} PUBLIC "$<BUILD_INTERFACE:GGUFD_VERSION=\"${PROJECT_VERSION}\">")
  target_link_libraries(ggufd_${name} PUBLIC ${ARGN} PRIVATE "$<BUILD_INTERFACE:ggufd_warnings>")
  ggufd_fast_build(ggufd_${name} common)
endfunction()
