// The generated parts of the manual pages in docs/man, as scdoc(5) wants them. What they say comes from the
// program's own tables, as the Markdown pages print them; a unit test holds the two together.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace ggufd::scdoc {

inline std::string without_marks(std::string_view text) {
  constexpr std::string_view marks = "\\*_`#[]|";
  std::string out;
  for (const char c : text) {
    if (marks.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Text in which nothing is a mark, also where a line begins with it.
inline std::string escaped(std::string_view text) {
  const bool begins_list = text.starts_with('-') || text.starts_with('.') || text.starts_with(';');
  return (begins_list ? "\\" : "") + without_marks(text);
}

inline std::string bold(std::string_view text) {
  return "*" + without_marks(text) + "*";
}

// Markdown within a line: code and strong text become bold, links their text.
inline std::string inline_text(std::string_view markdown) {
  std::string out, plain;
  const auto flush = [&] {
    out += escaped(plain);
    plain.clear();
  };
  while (!markdown.empty()) {
    const bool is_strong = markdown.starts_with("**");
    if (is_strong || markdown.front() == '`') {
      const std::string_view mark = markdown.substr(0, is_strong ? 2 : 1);
      const std::size_t end = markdown.find(mark, mark.size());
      if (end != std::string_view::npos) {
        std::string code(markdown.substr(mark.size(), end - mark.size()));
        std::erase(code, '`');
        flush();
        out += bold(code);
        markdown.remove_prefix(end + mark.size());
        continue;
      }
    }
    const std::size_t link = markdown.find("](");
    if (markdown.front() == '[' && link != std::string_view::npos) {
      plain += markdown.substr(1, link - 1);
      markdown.remove_prefix(markdown.find(')', link) + 1);
      continue;
    }
    plain += markdown.front();
    markdown.remove_prefix(1);
  }
  flush();
  return out;
}

// In which scdoc knows no marks: those of Markdown go.
inline std::string heading(std::size_t level, std::string_view markdown) {
  std::string text(markdown);
  std::erase(text, '`');
  return std::string(level, '#') + " " + text + "\n\n";
}

// A term, and what it means below it, further in.
inline std::string definition(const std::string& term, const std::string& meaning) {
  return term + "\n\t" + meaning + "\n\n";
}

// The cells of a Markdown table's rows, without its heading.
inline std::vector<std::vector<std::string>> rows_of(const std::string& table) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(table);
  bool is_body = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("|")) is_body = false;
    if (is_body) {
      std::vector<std::string> cells;
      for (std::size_t at = 2; at < line.size();) {
        const std::size_t end = line.find(" |", at);
        cells.push_back(line.substr(at, end - at));
        at = end == std::string::npos ? line.size() : end + 3;
      }
      rows.push_back(std::move(cells));
    }
    is_body = is_body || line.starts_with("|---");
  }
  return rows;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The region between the comments `; NAME: begin` and `; NAME: end` of docs/man/PAGE.scd is `wanted`; with
// UPDATE_DOCS=1 in the environment it is rewritten.
inline void check_region(const std::string& page, const std::string& name, const std::string& wanted) {
  const std::string path = GGUFD_SOURCE_DIR "/docs/man/" + page + ".scd";
  const std::string document = read_file(path);
  const std::string begin_mark = "; " + name + ": begin\n";
  const std::size_t begin = document.find(begin_mark);
  const std::size_t end = document.find("; " + name + ": end\n");
  REQUIRE_MESSAGE(begin != std::string::npos, path, " has no ", begin_mark);
  REQUIRE_MESSAGE(end != std::string::npos, path);
  const std::size_t start = begin + begin_mark.size();
  const std::string region = "\n" + wanted;
  if (std::getenv("UPDATE_DOCS") != nullptr) {
    std::ofstream(path, std::ios::binary) << document.substr(0, start) << region << document.substr(end);
    return;
  }
  const bool is_same = document.substr(start, end - start) == region;
  CHECK_MESSAGE(is_same, path, " differs from the code; run this test with UPDATE_DOCS=1");
}

}  // namespace ggufd::scdoc
