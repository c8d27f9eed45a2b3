#include "model/page_cache.h"

#include <fcntl.h>

namespace ggufd::model {

void drop_page_cache(int fd) {
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace ggufd::model
