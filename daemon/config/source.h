// Where a model's bytes come from: the `source` strings of the configuration and of `pull`, taken apart once.
//
//   https://host/path             a file behind a URL
//   http://host/path              the same, to loopback hosts (others only where fetch.allow_plain_http is
//   set) hf:<org>/<repo>/<path>[@<revision>]   a file of a Hugging Face repository file:///path  /path ~/path
//   a file of this machine, used in place
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <variant>

#include "config/environment.h"

namespace ggufd::config {

struct UrlSource {
  std::string url = {};  // scheme in lower case; no credentials, no fragment
  bool is_plain_http = false;
  bool is_loopback = false;
  friend bool operator==(const UrlSource&, const UrlSource&) = default;
};

struct HuggingFaceSource {
  std::string org = {};
  std::string repo = {};
  std::string path = {};          // within the repository, folders separated by '/'
  std::string revision = "main";  // a branch, a tag, a commit or refs/...
  friend bool operator==(const HuggingFaceSource&, const HuggingFaceSource&) = default;
};

struct FileSource {
  std::string path = {};  // absolute
  friend bool operator==(const FileSource&, const FileSource&) = default;
};

struct Source {
  std::variant<UrlSource, HuggingFaceSource, FileSource> where;

  bool is_network() const { return !std::holds_alternative<FileSource>(where); }
  // Needs fetch.allow_plain_http.
  bool is_plain_http_to_remote() const;
  // The last part of the path, without query: what tells a shard's number.
  std::string_view file_name() const;

  friend bool operator==(const Source&, const Source&) = default;
};

// The source as people may see it: in the forms above, without the query of a URL.
std::string to_string(const Source&);

// The error is a sentence without a subject ("must be …"), ready to follow a JSON pointer or a field's name.
std::expected<Source, std::string> parse_source(std::string_view text, const Environment& environment);

// "name-00001-of-00003.gguf": the first of three. Numbers count from 1, as in the file's name.
struct ShardName {
  unsigned number = 0;
  unsigned count = 0;
  friend bool operator==(const ShardName&, const ShardName&) = default;
};
// Nothing where `file_name` is not the name of a shard.
std::optional<ShardName> parse_shard_name(std::string_view file_name);

}  // namespace ggufd::config
