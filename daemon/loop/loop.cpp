#include "loop/loop.h"

#include <utility>

namespace ggufd::loop {

Loop::Loop() {
  [[maybe_unused]] const int status = uv_loop_init(&loop_);
  assert(status == 0);
  before_wait_ =
      make_handle<uv_prepare_t>(this, [this](auto* handle) { return uv_prepare_init(&loop_, handle); });
}

Loop::~Loop() {
  // A task may own objects of the loop.
  while (!tasks_.empty()) std::exchange(tasks_, {}).clear();
  uv_prepare_stop(before_wait_.get());
  uv_run(&loop_, UV_RUN_DEFAULT);
  before_wait_.reset();
  uv_run(&loop_, UV_RUN_DEFAULT);
  [[maybe_unused]] const int status = uv_loop_close(&loop_);
  assert(status == 0 && "an object of the loop outlived it");
}

void Loop::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
}

void Loop::at_end_of_turn(Task task) {
  tasks_.push_back(std::move(task));
  // A prepare handle fires before the loop waits, and keeps a loop alive that would end: the task is not
  // forgotten.
  if (tasks_.size() == 1) {
    uv_prepare_start(before_wait_.get(),
                     [](uv_prepare_t* handle) { static_cast<Loop*>(handle->data)->run_tasks(); });
  }
}

void Loop::run_tasks() {
  uv_prepare_stop(before_wait_.get());
  while (!tasks_.empty()) {
    for (Task& task : std::exchange(tasks_, {})) task();
  }
  // A task may have started the handle again; there is nothing left for it.
  uv_prepare_stop(before_wait_.get());
}

}  // namespace ggufd::loop
