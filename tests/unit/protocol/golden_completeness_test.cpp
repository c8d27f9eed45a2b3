// Nothing of the wire is without a golden line: no enumerator, no optional field in both its forms.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "golden.h"

namespace ggufd {
namespace {

// Collects the names that stand in messages, by enum, and for each optional or nullable field whether it was
// seen with and without a value.
class Census {
 public:
  struct Seen {
    bool with = false;
    bool without = false;
  };

  void add(const std::string& path, const auto& message) {
    message.fields(message, [&](std::string_view key, const auto& value, std::string_view) {
      see(path + "." + std::string(key), value);
    });
  }

  const std::map<std::string, Seen>& fields() const { return fields_; }
  template <NamedEnum E>
  bool has(E value) const {
    return names_.contains(std::pair(&EnumNames<E>, static_cast<std::size_t>(value)));
  }

 private:
  template <class T>
  void see(const std::string& path, const T& value) {
    if constexpr (detail::is_optional<T>) {
      see_optional(path, value);
    } else if constexpr (detail::is_nullable<T>) {
      see_optional(path, value.value);
    } else if constexpr (detail::is_vector<T>) {
      for (const auto& element : value) see(path, element);
    } else if constexpr (NamedEnum<T>) {
      names_.emplace(&EnumNames<T>, static_cast<std::size_t>(value));
    } else if constexpr (HasFields<T>) {
      add(path, value);
    }
  }

  void see_optional(const std::string& path, const auto& value) {
    (value ? fields_[path].with : fields_[path].without) = true;
    if (value) see(path, *value);
  }

  std::map<std::string, Seen> fields_;
  std::set<std::pair<const void*, std::size_t>> names_;
};

template <NamedEnum E>
void check_all_named(const Census& census) {
  for (std::size_t i = 0; i < EnumNames<E>.size(); ++i) {
    INFO("no golden line has the name " << EnumNames<E>[i]);
    CHECK(census.has(static_cast<E>(i)));
  }
}

void check_all_forms(const Census& census, std::size_t fewest_fields) {
  CHECK(census.fields().size() >= fewest_fields);
  for (const auto& [path, seen] : census.fields()) {
    INFO(path);
    CHECK_MESSAGE(seen.with, "no golden line has this field");
    CHECK_MESSAGE(seen.without, "no golden line is without this field, or has null");
  }
}

template <NamedEnum E>
void check_all_kinds(const std::set<E>& seen) {
  for (std::size_t i = 0; i < EnumNames<E>.size(); ++i) {
    CHECK_MESSAGE(seen.contains(static_cast<E>(i)), "no golden line for ", EnumNames<E>[i]);
  }
}

// The golden lines as they are decoded, not the structs beside them.
StatusEvent decoded_event(const std::string& line) {
  auto frame = decode_frame(line);
  REQUIRE_MESSAGE(frame.has_value(), line);
  REQUIRE(std::holds_alternative<StatusEvent>(*frame));
  return std::get<StatusEvent>(*frame);
}

Census census_of_phases(std::string_view file) {
  Census census;
  for (const auto& line : golden::lines(file)) {
    const auto event = decoded_event(line);
    const auto* phase = phase_of(event);
    REQUIRE(phase != nullptr);
    std::visit([&](const auto& details) { census.add(std::string(name_of(kind_of(*phase))), details); },
               *phase);
  }
  return census;
}

std::set<PhaseKind> phases_in(std::string_view file, StatusKind status) {
  std::set<PhaseKind> kinds;
  for (const auto& line : golden::lines(file)) {
    const auto event = decoded_event(line);
    CHECK(kind_of(event.status) == status);
    if (const auto* phase = phase_of(event)) kinds.insert(kind_of(*phase));
  }
  return kinds;
}

TEST_CASE("completeness: every status has a golden line, its optional fields both ways") {
  std::set<StatusKind> kinds;
  Census census;
  bool daemon_warning = false;
  bool model_warning = false;
  for (const auto& line : golden::lines("status")) {
    const auto event = decoded_event(line);
    kinds.insert(kind_of(event.status));
    std::visit([&](const auto& status) { census.add(std::string(name_of(kind_of(event.status))), status); },
               event.status);
    if (kind_of(event.status) == StatusKind::warning) {
      (event.model ? model_warning : daemon_warning) = true;
    }
  }
  check_all_kinds(kinds);
  check_all_forms(census, 8);
  check_all_named<UnloadReason>(census);
  check_all_named<RestartReason>(census);
  check_all_named<Backend>(census);
  CHECK(daemon_warning);
  CHECK(model_warning);
}

TEST_CASE("completeness: every phase has a golden line, in a load and in a restart") {
  check_all_kinds(phases_in("loading", StatusKind::loading_model));
  check_all_kinds(phases_in("restarting", StatusKind::restarting));
  for (const auto* file : {"loading", "restarting"}) {
    const Census census = census_of_phases(file);
    check_all_forms(census, 2);
    check_all_named<Integrity>(census);
  }
}

TEST_CASE("completeness: every error code has a golden answer, those of a bring-up a golden event") {
  std::set<ErrorCode> answered;
  for (const auto& line : golden::lines("answer_errors")) {
    const auto frame = decode_frame(line);
    REQUIRE_MESSAGE(frame.has_value(), line);
    answered.insert(std::get<ErrorFrame>(*frame).error.code);
  }
  check_all_kinds(answered);
  std::set<ErrorCode> published;
  for (const auto& line : golden::lines("errors")) {
    published.insert(std::get<status::Failed>(decoded_event(line).status).code);
  }
  for (std::size_t i = 0; i <= static_cast<std::size_t>(ErrorCode::internal); ++i) {
    CHECK_MESSAGE(published.contains(static_cast<ErrorCode>(i)), "no golden event for ",
                  EnumNames<ErrorCode>[i]);
  }
}

// Optional fields of a message: how many there are, and how many have a value.
std::pair<int, int> count_optionals(const auto& message) {
  std::pair<int, int> counts;
  message.fields(message, [&]<class T>(std::string_view, const T& value, std::string_view) {
    if constexpr (detail::is_optional<T>) {
      ++counts.first;
      if (value) ++counts.second;
    }
  });
  return counts;
}

TEST_CASE("completeness: every verb has golden lines with none, some and all of its optional fields") {
  struct Forms {
    bool none = false;
    bool some = false;
    bool most = false;  // all of them; of a pull, all that go together
    int optionals = 0;
  };
  std::map<Verb, Forms> verbs;
  Census census;
  for (const auto& line : golden::lines("requests")) {
    const auto request = decode_request(line);
    REQUIRE_MESSAGE(request.has_value(), line);
    const Verb verb = verb_of(*request);
    const auto [total, present] =
        std::visit([](const auto& body) { return count_optionals(body); }, request->body);
    std::visit([&](const auto& body) { census.add(std::string(name_of(verb)), body); }, request->body);
    // A pull names a model, or a source and all that goes with it.
    const int fewest = verb == Verb::pull ? 1 : 0;
    const int most = verb == Verb::pull ? total - 1 : total;
    Forms& forms = verbs[verb];
    forms.optionals = total;
    if (present == fewest) forms.none = true;
    if (present > fewest && present < most) forms.some = true;
    if (present == most) forms.most = true;
  }
  for (std::size_t i = 0; i < EnumNames<Verb>.size(); ++i) {
    INFO(EnumNames<Verb>[i]);
    const Forms forms = verbs[static_cast<Verb>(i)];
    CHECK(forms.none);
    CHECK(forms.most);
    CHECK((forms.some || forms.optionals < 2));
  }
  check_all_forms(census, 24);
}

TEST_CASE("completeness: every answer has a golden line, its optional fields both ways") {
  std::set<std::size_t> kinds;
  Census census;
  for (const auto& answer : golden::answers()) {
    kinds.insert(answer.body.index());
    std::visit([&](const auto& body) { census.add(std::to_string(answer.body.index()), body); }, answer.body);
  }
  CHECK(kinds.size() == std::variant_size_v<AnswerBody>);
  check_all_forms(census, 18);
  check_all_named<ModelState>(census);
  check_all_named<Health>(census);
  check_all_named<answer::Check::Outcome>(census);
}

}  // namespace
}  // namespace ggufd
