// The nearest of a few words, for "did you mean".
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace ggufd::config {

// Insertions, deletions, replacements and swaps of neighbours that make one text of the other (restricted
// Damerau-Levenshtein distance).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The word with the least distance, where that is near enough to be meant: at most a third of the longer
// text, rounded up. Upper and lower case are alike, and so are '-' and '_'.
std::optional<std::string_view> nearest(std::string_view text, std::span<const std::string_view> words);

}  // namespace ggufd::config
