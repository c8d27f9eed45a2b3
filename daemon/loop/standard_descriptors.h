// Standard input, output and error, in a process that was started without one of them. A file or a socket
// that is opened later would get its number, and what is meant for a terminal would be written into it.
#pragma once

#include <cstdint>

namespace ggufd::loop {

// What becomes of standard output where the process was given none.
enum class MissingOutput : std::uint8_t {
  discarded,
  refused,  // writing fails, and whoever waits for the output learns it from the exit code
};

// Opens /dev/null for each of the three that is closed; what is open is left alone. Before anything else is
// opened. False where there is no /dev/null.
bool fill_standard_descriptors(MissingOutput missing_output);

}  // namespace ggufd::loop
