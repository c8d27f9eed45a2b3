# The manual pages (target `man`, where scdoc is found) and the completion scripts (target `completions`), as an installation
# wants them: build/<preset>/man/ggufctl.1, build/<preset>/completions/{ggufctl,_ggufctl,ggufctl.fish}.
find_program(SCDOC_PROGRAM scdoc)
if(SCDOC_PROGRAM)
  file(GLOB manual_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/docs/man/*.scd")
  set(manual_pages)
  foreach(source IN LISTS manual_sources)
    get_filename_component(page "${source}" NAME)
    string(REGEX REPLACE "\\.scd$" "" page "${page}")
    set(output "${CMAKE_BINARY_DIR}/man/${page}")
    add_custom_command(
      OUTPUT "${output}"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/man"
      COMMAND sh -c "\"$1\" <\"$2\" >\"$3\"" manual "${SCDOC_PROGRAM}" "${source}" "${output}"
      DEPENDS "${source}" VERBATIM)
    list(APPEND manual_pages "${output}")
  endforeach()
  add_custom_target(man ALL DEPENDS ${manual_pages})
endif()

set(completions)
foreach(script IN ITEMS bash:ggufctl zsh:_ggufctl fish:ggufctl.fish)
  string(REPLACE ":" ";" script "${script}")
  list(GET script 0 shell)
  list(GET script 1 name)
  set(output "${CMAKE_BINARY_DIR}/completions/${name}")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/completions"
    COMMAND sh -c "\"$1\" completion \"$2\" >\"$3\"" completions "$<TARGET_FILE:ggufctl>" ${shell} "${output}"
    DEPENDS ggufctl VERBATIM)
  list(APPEND completions "${output}")
endforeach()
add_custom_target(completions ALL DEPENDS ${completions})
