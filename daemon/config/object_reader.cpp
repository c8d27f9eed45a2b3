#include "config/object_reader.h"

#include "config/quote.h"

namespace ggufd::config {

std::string child_pointer(std::string_view pointer, std::string_view key) {
  std::string child(pointer);
  child.push_back('/');
  for (const char c : key) {
    if (c == '~') {
      child.append("~0");
    } else if (c == '/') {
      child.append("~1");
    } else {
      child.push_back(c);
    }
  }
  return child;
}

std::string child_pointer(std::string_view pointer, std::size_t index) {
  return fmt::format("{}/{}", pointer, index);
}

std::string describe_found(simdjson::dom::element element) {
  switch (element.type()) {
    case simdjson::dom::element_type::ARRAY:
      return "a list";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    case simdjson::dom::element_type::STRING: {
      std::string_view text;
      if (element.get(text) != simdjson::SUCCESS) return "a string";
      return fmt::format("the string {}", quote(text));
    }
    default:
      return simdjson::minify(element);
  }
}

void ObjectReader::read_string(simdjson::dom::element element, const std::string& pointer,
                               std::string& member, const Rule& rule) {
  std::string_view text;
  if (element.get(text) != simdjson::SUCCESS) return must_be(pointer, "a string", element);
  member = text;
  if (auto complaint = check_text(rule, member, environment_)) mistake(pointer, std::move(*complaint));
}

void ObjectReader::read_source(simdjson::dom::element element, const std::string& pointer, Source& member) {
  std::string_view text;
  if (element.get(text) != simdjson::SUCCESS) return must_be(pointer, "a string", element);
  auto source = parse_source(text, environment_);
  if (!source) return mistake(pointer, std::move(source.error()));
  member = std::move(*source);
}

void ObjectReader::unknown_key(const std::string& pointer, std::string_view key,
                               const std::vector<std::string_view>& known) {
  if (const auto near = nearest(key, known)) {
    return mistake(pointer, fmt::format("the key {} is not known; did you mean \"{}\"?", quote(key), *near));
  }
  mistake(pointer,
          fmt::format("the key {} is not known; known here: {}", quote(key), fmt::join(known, ", ")));
}

void ObjectReader::must_be(const std::string& pointer, std::string_view wanted,
                           simdjson::dom::element found) {
  mistake(pointer, fmt::format("must be {}, not {}", wanted, describe_found(found)));
}

void ObjectReader::mistake(std::string pointer, std::string message) {
  mistakes_.push_back({std::move(pointer), std::move(message)});
}

}  // namespace ggufd::config
