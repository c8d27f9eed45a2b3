// What follows once all of a blob was hashed again: a new stamp, or the quarantine.
#pragma once

#include <optional>
#include <string>

#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::model {

// A blob that did not have the digest that its name says.
struct BadBlob {
  store::Digest expected;
  store::Digest actual;
  std::string path;             // where it was
  std::string quarantine_path;  // where it is now
};

// "/…/data has SHA-256 … instead of …; it was moved to …": what happened, without a remedy.
std::string to_string(const BadBlob& bad);

// `actual` is the digest of all the bytes behind `blob.fd`. Nothing where that is `expected`; the stamp says
// so then, as far as one could be written. Errors: `io` where the file was changed or replaced while it was
// hashed, so that nothing can be said of it; those of the store. Blocks.
Result<std::optional<BadBlob>> check_blob(const store::BlobStore& store, const store::Digest& expected,
                                          store::FoundBlob& blob, const store::Digest& actual);

}  // namespace ggufd::model
