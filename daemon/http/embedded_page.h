// Pages that are part of the program: made from files by cmake/embed.cmake.
#pragma once

#include <string_view>

namespace ggufd::http {

// Digests are SHA-256, in hex.
struct EmbeddedPage {
  std::string_view html;
  std::string_view digest;
  std::string_view style_digest;   // of what stands within its one <style>
  std::string_view script_digest;  // and within its one <script>
};

extern const EmbeddedPage index_html;  // page/index.html

}  // namespace ggufd::http
