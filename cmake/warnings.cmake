# Applied to our own targets only; the headers of libraries are system headers.
add_library(ggufd_warnings INTERFACE)
target_compile_options(ggufd_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Werror
                       # Designated initialisers leave out what has a default.
                       -Wno-missing-field-initializers)
# Files that are compiled together seem to shadow each other's names; every other build has the warning.
if(NOT GGUFD_FAST_BUILD AND NOT GGUFD_UNITY_BUILD)
  target_compile_options(ggufd_warnings INTERFACE -Wshadow)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # It takes files that are included for headers.
  target_compile_options(ggufd_warnings INTERFACE -Wno-subobject-linkage)
endif()
