// What the kernel remembers of a file.
#pragma once

namespace ggufd::model {

// Gives back the memory that holds an open file's pages. Advice: pages that are mapped by anybody, locked, or
// not yet on the disk stay. Blocks: some 100 ms for gigabytes.
void drop_page_cache(int fd);

}  // namespace ggufd::model
