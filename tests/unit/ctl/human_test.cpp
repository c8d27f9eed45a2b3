#include "ctl/human.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

namespace ggufd::ctl {

TEST_CASE("human: bytes have binary units and one decimal") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1024) == "1.0 KiB");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(2'497'280'256) == "2.3 GiB");
  CHECK(human_bytes(std::uint64_t{3} << 40) == "3.0 TiB");
  CHECK(human_bytes(std::numeric_limits<std::uint64_t>::max()) == "16384.0 PiB");
}

TEST_CASE("human: bytes that would round to 1024 go to the next unit") {
  CHECK(human_bytes((std::uint64_t{1} << 20) - 1) == "1.0 MiB");
  CHECK(human_bytes((std::uint64_t{1} << 30) - 1) == "1.0 GiB");
}

TEST_CASE("human: a part is in the unit of its total") {
  CHECK(human_part(0, 2'497'280'256) == "0.0/2.3 GiB");
  CHECK(human_part(1'288'490'189, 2'497'280'256) == "1.2/2.3 GiB");
  CHECK(human_part(5, 900) == "5/900 B");
}

TEST_CASE("human: durations") {
  CHECK(human_clock(7) == "0:07");
  CHECK(human_clock(184) == "3:04");
  CHECK(human_clock(3723) == "1:02:03");
  CHECK(human_clock(183'600) == "2 d 3 h");
  CHECK(human_ms(850) == "850 ms");
  CHECK(human_ms(12'340) == "12.3 s");
  CHECK(human_ms(59'949) == "59.9 s");
  CHECK(human_ms(59'950) == "1:00");
  CHECK(human_age(59) == "59 s");
  CHECK(human_age(3599) == "59 min");
  CHECK(human_age(86'399) == "23 h");
  CHECK(human_age(172'800) == "2 d");
}

TEST_CASE("human: what could steer a terminal is taken out") {
  CHECK(printable("a\x1b[31mb\r\nc\x7f") == "a [31mb  c ");
  CHECK(printable("\xC2\x9B"
                  "31m") == " 31m");  // CSI as a C1 control
  CHECK(printable("a\xE2\x80\xAE"
                  "b") == "a b");  // right-to-left override
  CHECK(printable("grüße 模型") == "grüße 模型");
  CHECK(printable("a\xFF\xC3") == "a??");
}

TEST_CASE("human: columns count what a terminal shows") {
  CHECK(columns_of("abc") == 3);
  CHECK(columns_of("grüße") == 5);
  CHECK(columns_of("模型") == 4);
  CHECK(columns_of("e\xCC\x81") == 1);  // e and a combining accent
  CHECK(first_columns("模型", 3) == "模");
  CHECK(cut("abcdef", 4, "…") == "abc…");
  CHECK(cut("abcd", 4, "…") == "abcd");
  CHECK(cut("abcd", 0, "…") == "");
}

TEST_CASE("human: text wraps at spaces, and inside a word that is too long") {
  using Lines = std::vector<std::string>;
  CHECK(wrapped("one two three", 7) == Lines{"one two", "three"});
  CHECK(wrapped("abcdefgh", 3) == Lines{"abc", "def", "gh"});
  CHECK(wrapped("", 5) == Lines{""});
  CHECK(wrapped("ab  cd", 3) == Lines{"ab ", "cd"});
  CHECK(wrapped("模型模型", 3) == Lines{"模", "型", "模", "型"});
}

}  // namespace ggufd::ctl
