# With GGUFD_FAST_BUILD, what nearly every file includes is parsed once a build instead of once a file, and rooms are
# compiled several files at a time: the presets that build the tests have it on. With GGUFD_UNITY_BUILD only the latter, which
# halves what a release build costs: `./dev test` has it on. Without either, as `./dev build` does it, an include that is missing is found.
option(GGUFD_FAST_BUILD "Parse the common headers once, compile several files at a time" OFF)
option(GGUFD_UNITY_BUILD "Compile several files at a time" OFF)

set(common_headers
  <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <deque> <expected> <filesystem> <fstream> <functional> <map>
  <memory> <optional> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>
  <fmt/core.h> <fmt/format.h>)
set(test_headers ${common_headers} <doctest/doctest.h> <spdlog/spdlog.h>)

# A target that is built with the same flags as those who use its headers; it holds nothing else.
function(ggufd_precompiled_headers name)
  set(empty "${CMAKE_BINARY_DIR}/${name}.cpp")
  file(CONFIGURE OUTPUT "${empty}" CONTENT "")
  add_library(${name} OBJECT "${empty}")
  target_link_libraries(${name} PRIVATE fmt::fmt spdlog::spdlog)
  target_precompile_headers(${name} PRIVATE ${ARGN})
  ggufd_without_timestamp(${name})
endfunction()

# The compiler cache could not use a precompiled header again with a time in it.
function(ggufd_without_timestamp target)
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
endfunction()

if(GGUFD_FAST_BUILD)
  ggufd_precompiled_headers(ggufd_common_headers ${common_headers})
  ggufd_precompiled_headers(ggufd_test_headers ${test_headers})
endif()

# ggufd_fast_build(TARGET common|test [HEADER...]): with headers of its own, which are most of what its files parse, it has
# a precompiled header for itself.
function(ggufd_fast_build target which)
  if(GGUFD_FAST_BUILD AND ARGN)
    target_precompile_headers(${target} PRIVATE ${${which}_headers} ${ARGN})
    ggufd_without_timestamp(${target})
  elseif(GGUFD_FAST_BUILD)
    target_precompile_headers(${target} REUSE_FROM ggufd_${which}_headers)
  endif()
  if(GGUFD_FAST_BUILD OR GGUFD_UNITY_BUILD)
    if(which STREQUAL common)
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
  endif()
endfunction()
