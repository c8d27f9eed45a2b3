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

if(GGUFD_TESTS)
  find_package(doctest REQUIRED)
endif()
