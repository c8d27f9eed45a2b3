# GGUFD_SANITIZE: "address,undefined" or "thread"; empty for none. Applies to every target of the build.
set(GGUFD_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize takes them")
if(GGUFD_SANITIZE)
  add_compile_options(-fsanitize=${GGUFD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${GGUFD_SANITIZE})
endif()
if(GGUFD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
