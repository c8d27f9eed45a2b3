#include "store/digest.h"

#include "support.h"

namespace ggufd::store {
namespace {

// FIPS 180-4, example computations.
const std::string empty_hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const std::string abc_hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST_CASE("a digest is read from 64 digits of either case and written in lower case") {
  std::string upper = abc_hex;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  REQUIRE(Digest::parse(upper));
  CHECK(Digest::parse(upper)->to_hex() == abc_hex);
  CHECK(Digest::parse(upper) == Digest::parse(abc_hex));
}

TEST_CASE("what is not exactly 64 hexadecimal digits is no digest") {
  CHECK_FALSE(Digest::parse(""));
  CHECK_FALSE(Digest::parse(abc_hex.substr(1)));
  CHECK_FALSE(Digest::parse(abc_hex + "0"));
  CHECK_FALSE(Digest::parse("../../../etc/passwd" + abc_hex.substr(19)));
  CHECK_FALSE(Digest::parse(std::string("g").append(abc_hex.substr(1))));
  CHECK_FALSE(Digest::parse(abc_hex.substr(0, 63) + ' '));
}

TEST_CASE("the prefix of manifests is required and nothing but it") {
  CHECK(Digest::parse_prefixed("sha256:" + abc_hex) == Digest::parse(abc_hex));
  CHECK_FALSE(Digest::parse_prefixed(abc_hex));
  CHECK_FALSE(Digest::parse_prefixed("sha256-" + abc_hex));
  CHECK_FALSE(Digest::parse_prefixed("SHA256:" + abc_hex));
}

TEST_CASE("digests order bytewise") {
  const auto low = Digest::parse(std::string(64, '1'));
  const auto high = Digest::parse("f" + std::string(63, '0'));
  CHECK(*low < *high);
}

TEST_CASE("the hasher computes SHA-256, in pieces and whole, and starts anew after each") {
  Sha256 hasher;
  CHECK(hasher.finish()->to_hex() == empty_hex);
  hasher.update("a");
  hasher.update("");
  hasher.update("bc");
  CHECK(hasher.finish()->to_hex() == abc_hex);
  hasher.update("abc");
  CHECK(hasher.finish()->to_hex() == abc_hex);
  CHECK(sha256_of("abc")->to_hex() == abc_hex);
}

TEST_CASE("a hasher that was moved goes on where it was; the one moved from says that it cannot") {
  Sha256 first;
  first.update("a");
  Sha256 second(std::move(first));
  second.update("bc");
  CHECK(second.finish()->to_hex() == abc_hex);
  const auto spent = first.finish();
  REQUIRE_FALSE(spent);
  CHECK(spent.error().code == ErrorCode::internal);
}

}  // namespace
}  // namespace ggufd::store
