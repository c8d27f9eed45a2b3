# Every library we build on, as Debian 12 packages it (newer versions are welcome).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(simdjson REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(uv REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)

# Headers alone, whose CMake package has another name in each distribution.
find_path(MSGPACK_INCLUDE_DIR msgpack.hpp REQUIRED)
add_library(ggufd_msgpack INTERFACE)
target_include_directories(ggufd_msgpack SYSTEM INTERFACE "${MSGPACK_INCLUDE_DIR}")
target_compile_definitions(ggufd_msgpack INTERFACE MSGPACK_NO_BOOST)

if(GGUFD_TESTS)
  find_package(doctest REQUIRED)
endif()
