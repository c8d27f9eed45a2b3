// Times ggml's own GGUF reader; tests/bench/header.py compiles it against a llama.cpp that is built already:
//   llama_reader FILE RUNS          prints nanoseconds of each run as a JSON array
#include <ggml.h>
#include <gguf.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: llama_reader FILE RUNS\n");
    return 64;
  }
  const int runs = std::atoi(argv[2]);
  std::printf("[");
  for (int run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    // As llama.cpp's loader calls it: keys and the table of tensors, no tensor data.
    ggml_context* tensors = nullptr;
    gguf_init_params how{};
    how.no_alloc = true;
    how.ctx = &tensors;
    gguf_context* file = gguf_init_from_file(argv[1], how);
    if (file == nullptr) return 1;
    gguf_free(file);
    ggml_free(tensors);
    const auto taken = std::chrono::steady_clock::now() - begin;
    std::printf("%s%lld", run == 0 ? "" : ", ",
                static_cast<long long>(std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count()));
  }
  std::printf("]\n");
  return 0;
}
