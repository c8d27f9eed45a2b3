# Applied to our own targets only; the headers of libraries are system headers.
add_library(ggufd_warnings INTERFACE)
target_compile_options(ggufd_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
                       # Designated initialisers leave out what has a default.
                       -Wno-missing-field-initializers)
