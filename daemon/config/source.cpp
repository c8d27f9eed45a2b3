#include "config/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "config/address.h"
#include "config/quote.h"

namespace ggufd::config {

namespace {

constexpr std::string_view forms =
    "must be \"https://…\", \"hf:<org>/<repo>/<path>[@<revision>]\", \"file:///…\" or an absolute path";

using Parsed = std::expected<Source, std::string>;

std::unexpected<std::string> mistake(std::string message) {
  return std::unexpected(std::move(message));
}

bool is_repository_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

bool is_repository_name(std::string_view name) {
  return !name.empty() && name.size() <= 96 && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, is_repository_character);
}

// Parts separated by '/', none of them empty, "." or "..": it stays below where it starts.
bool is_path_below(std::string_view path) {
  while (true) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_revision(std::string_view revision) {
  return is_path_below(revision) && revision.size() <= 256 && std::ranges::all_of(revision, [](char c) {
           return is_repository_character(c) || c == '/' || c == '+';
         });
}

Parsed parse_hugging_face(std::string_view text) {
  HuggingFaceSource source;
  const auto at = text.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view revision = text.substr(at + 1);
    if (!is_revision(revision)) {
      return mistake(
          fmt::format("must name a branch, a tag or a commit after the @, not {}", quote(revision)));
    }
    source.revision = revision;
    text = text.substr(0, at);
  }
  const auto first = text.find('/');
  const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
  if (second == std::string_view::npos) return mistake("must be \"hf:<org>/<repo>/<path>[@<revision>]\"");
  source.org = text.substr(0, first);
  source.repo = text.substr(first + 1, second - first - 1);
  source.path = text.substr(second + 1);
  if (!is_repository_name(source.org) || !is_repository_name(source.repo)) {
    return mistake(fmt::format("must name an organisation and a repository of A-Za-z0-9._-, not {}",
                               quote(text.substr(0, second))));
  }
  if (!is_path_below(source.path) || source.path.find('\\') != std::string::npos) {
    return mistake(
        fmt::format("must name a file of the repository, {} is no path of one", quote(source.path)));
  }
  return Source{std::move(source)};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

Parsed parse_file(std::string path) {
  if (has_control_character(path)) return mistake("must not contain control characters");
  if (path.ends_with('/')) return mistake(fmt::format("must name a file, {} is a folder", quote(path)));
  return Source{FileSource{.path = std::move(path)}};
}

Parsed parse_file_url(std::string_view rest) {
  if (!rest.starts_with('/'))
    return mistake("must be \"file:///\" and an absolute path, with no host between the slashes");
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return mistake("must write a ? of the path as %3F and a # as %23");
  }
  auto path = decode_percent(rest);
  if (!path) return mistake("must have two hex digits after each %; write a % of the path as %25");
  return parse_file(std::move(*path));
}

Parsed parse_url(std::string_view text, const UrlParts& parts) {
  if (parts.scheme == "hf") return mistake("must be \"hf:<org>/<repo>/<path>[@<revision>]\", without \"//\"");
  if (parts.scheme != "https" && parts.scheme != "http") {
    return mistake(fmt::format("{}; the scheme {} is not known", forms, quote(parts.scheme)));
  }
  auto checked = check_url(text);
  if (!checked) return mistake(std::move(checked.error()));
  return Source{UrlSource{.url = std::move(checked->url),
                          .is_plain_http = checked->scheme == "http",
                          .is_loopback = checked->address.is_loopback}};
}

template <class Unsigned>
bool parse_digits(std::string_view text, Unsigned& number) {
  if (!std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return false;
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{};
}

}  // namespace

bool Source::is_plain_http_to_remote() const {
  const auto* url = std::get_if<UrlSource>(&where);
  return url != nullptr && url->is_plain_http && !url->is_loopback;
}

std::string_view Source::file_name() const {
  std::string_view path;
  if (const auto* url = std::get_if<UrlSource>(&where)) {
    path = std::string_view(url->url).substr(0, url->url.find('?'));
  } else if (const auto* repository = std::get_if<HuggingFaceSource>(&where)) {
    path = repository->path;
  } else {
    path = std::get<FileSource>(where).path;
  }
  return path.substr(path.rfind('/') + 1);
}

std::string to_string(const Source& source) {
  if (const auto* url = std::get_if<UrlSource>(&source.where)) return url->url.substr(0, url->url.find('?'));
  if (const auto* hf = std::get_if<HuggingFaceSource>(&source.where)) {
    return fmt::format("hf:{}/{}/{}@{}", hf->org, hf->repo, hf->path, hf->revision);
  }
  return std::get<FileSource>(source.where).path;
}

std::expected<Source, std::string> parse_source(std::string_view text, const Environment& environment) {
  if (text.empty()) return mistake(fmt::format("{}, not empty", forms));
  if (has_control_character(text)) return mistake("must not contain control characters");
  if (text.starts_with('/')) return parse_file(std::string(text));
  if (text.starts_with("~/")) {
    auto path = expand_home(text, environment);
    if (!path) return mistake(fmt::format("cannot be expanded: {}", path.error().message));
    return parse_file(std::move(*path));
  }
  const auto parts = split_url(text);
  if (parts && parts->scheme == "file")
    return parse_file_url(text.substr(std::string_view("file://").size()));
  if (parts) return parse_url(text, *parts);
  if (text.starts_with("hf:")) return parse_hugging_face(text.substr(3));
  return mistake(fmt::format("{}, not {}", forms, quote(text)));
}

std::optional<ShardName> parse_shard_name(std::string_view file_name) {
  // "-00001-of-00003.gguf"
  constexpr std::string_view separator = "-of-";
  constexpr std::string_view ending = ".gguf";
  constexpr std::size_t digits = 5;
  constexpr std::size_t suffix_bytes = 1 + digits + separator.size() + digits + ending.size();
  if (file_name.size() <= suffix_bytes || !file_name.ends_with(ending)) return std::nullopt;
  const std::string_view suffix = file_name.substr(file_name.size() - suffix_bytes);
  ShardName name;
  const bool is_shard = suffix.front() == '-' && parse_digits(suffix.substr(1, digits), name.number) &&
                        suffix.substr(1 + digits, separator.size()) == separator &&
                        parse_digits(suffix.substr(1 + digits + separator.size(), digits), name.count);
  if (!is_shard || name.number == 0 || name.number > name.count) return std::nullopt;
  return name;
}

}  // namespace ggufd::config
