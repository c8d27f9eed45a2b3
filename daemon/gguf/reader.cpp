#include "gguf/reader.h"

#include <algorithm>
#include <limits>

#include "gguf/scan.h"

namespace ggufd::gguf {
namespace {

// Bytes swapped: the file is of a machine of the other endianness. The format has no flag for it; ggml looks
// for a version whose low half is 0, too.
bool looks_big_endian(std::uint32_t version) {
  return version != 0 && (version & 0xFFFF) == 0;
}

bool read_magic(Scan& scan) {
  std::span<const std::byte> raw;
  if (!scan.bytes(4, raw, header_place)) return false;
  const std::string_view magic(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (magic == "GGUF") return true;
  scan.report.defects.add(
      DefectCode::bad_magic, header_place, 0,
      "the file starts with \"{}\" where a GGUF starts with \"GGUF\"; check that the source names "
      "a GGUF and not a web page or another format",
      printable(magic));
  return false;
}

bool read_version(Scan& scan) {
  std::uint32_t& version = scan.report.header.version;
  if (!scan.number(version, header_place)) return false;
  if (looks_big_endian(version)) {
    scan.report.defects.add(DefectCode::big_endian, header_place, 4,
                            "the file is big endian (version field {:#010x}); use the little endian one",
                            version);
    return false;
  }
  if (version != 2 && version != 3) {
    scan.report.defects.add(
        DefectCode::unsupported_version, header_place, 4,
        "the file is GGUF version {}; versions 2 and 3 are read, so convert the model again", version);
    return false;
  }
  return true;
}

// Counts that the rest of the file cannot hold are refused before anything is sized by them.
bool check_counts(Scan& scan, std::uint64_t n_tensors, std::uint64_t n_keys) {
  const std::uint64_t left = scan.in.left_in_file();
  constexpr std::uint64_t max_count = std::numeric_limits<std::uint32_t>::max();
  const bool keys_fit = n_keys <= std::min(left / least_key_bytes, max_count);
  const bool tensors_fit = n_tensors <= std::min(left / least_tensor_bytes, max_count);
  if (!tensors_fit) {
    scan.report.defects.add(DefectCode::count_beyond_file, header_place, 8,
                            "the header claims {} tensors, more than the {} bytes after it can hold",
                            n_tensors, left);
  }
  if (!keys_fit) {
    scan.report.defects.add(DefectCode::count_beyond_file, header_place, 16,
                            "the header claims {} keys, more than the {} bytes after it can hold", n_keys,
                            left);
  }
  return keys_fit && tensors_fit;
}

void check_key_name(Scan& scan, const Key& key) {
  if (key.name.empty()) {
    scan.report.defects.add(DefectCode::empty_key, "", key.offset, "a key at byte {} has no name",
                            key.offset);
  } else if (holds_control_bytes(key.name)) {
    scan.report.defects.add(DefectCode::bad_key_name, key.name, key.offset,
                            "the name of key {} holds control bytes, at which engines may cut it",
                            printable(key.name));
  }
}

bool read_value_type(Scan& scan, std::string_view key, ValueType& type) {
  std::uint32_t id = 0;
  const std::uint64_t at = scan.in.position();
  if (!scan.number(id, key)) return false;
  if (id >= EnumNames<ValueType>.size()) {
    scan.report.defects.add(DefectCode::unknown_value_type, key, at,
                            "key {} has a value of the unknown type {}", printable(key), id);
    return false;
  }
  type = static_cast<ValueType>(id);
  return true;
}

void check_bools(Scan& scan, std::string_view key, std::span<const std::byte> values) {
  // No early exit, which lets the compiler look at many bytes at a time.
  std::byte all{0};
  for (const std::byte value : values) all |= value;
  if (all > std::byte{1}) {
    scan.report.defects.add(DefectCode::bad_bool, key, scan.in.position() - values.size(),
                            "key {} holds a bool that is neither 0 nor 1", printable(key));
  }
}

bool check_array_count(Scan& scan, std::string_view key, std::uint64_t count, std::uint64_t element_bytes) {
  const std::uint64_t at = scan.in.position() - sizeof count;
  if (count > max_array_elements) {
    scan.report.defects.add(DefectCode::array_too_long, key, at,
                            "the array {} claims {} elements; at most 2^30 are allowed", printable(key),
                            count);
    return false;
  }
  if (count > scan.in.left_in_file() / element_bytes) {
    scan.report.defects.add(
        DefectCode::count_beyond_file, key, at,
        "the array {} claims {} elements, more than the {} bytes left in the file can hold", printable(key),
        count, scan.in.left_in_file());
    return false;
  }
  return true;
}

bool read_array(Scan& scan, Key& key) {
  ValueType element{};
  std::uint64_t count = 0;
  const std::uint64_t at = scan.in.position();
  if (!read_value_type(scan, key.name, element)) return false;
  if (element == ValueType::array) {
    scan.report.defects.add(DefectCode::nested_array, key.name, at,
                            "key {} is an array of arrays, which no engine reads", printable(key.name));
    return false;
  }
  if (!scan.number(count, key.name)) return false;
  const bool strings = element == ValueType::string;
  const std::uint64_t element_bytes = strings ? sizeof(std::uint64_t) : scalar_bytes(element);
  if (!check_array_count(scan, key.name, count, element_bytes)) return false;

  std::span<const std::byte> payload;
  if (strings) {
    Cursor start = scan.in;
    if (!scan.strings(count, key.name)) return false;
    (void)start.take(scan.in.position() - start.position(), payload);
  } else {
    if (!scan.bytes(count * element_bytes, payload, key.name)) return false;
    if (element == ValueType::boolean) check_bools(scan, key.name, payload);
  }
  key.value = Value::array_of(element, count, payload);
  return true;
}

bool read_key(Scan& scan, Key& key) {
  key.offset = scan.in.position();
  ValueType type{};
  if (!scan.string(key.name, header_place, "the name of a key")) return false;
  check_key_name(scan, key);
  if (!read_value_type(scan, key.name, type)) return false;
  if (type == ValueType::array) return read_array(scan, key);

  std::span<const std::byte> data;
  if (type == ValueType::string) {
    std::string_view text;
    if (!scan.string(text, key.name, key.name)) return false;
    data = std::as_bytes(std::span(text));
  } else {
    if (!scan.bytes(scalar_bytes(type), data, key.name)) return false;
    if (type == ValueType::boolean) check_bools(scan, key.name, data);
  }
  key.value = Value(type, data);
  return true;
}

bool read_keys(Scan& scan, std::uint64_t n_keys, std::uint64_t n_tensors) {
  for (std::uint64_t i = 0; i < n_keys; ++i) {
    scan.least_after = (n_keys - i - 1) * least_key_bytes + n_tensors * least_tensor_bytes;
    Key key;
    if (!read_key(scan, key)) return false;
    scan.report.header.keys.push_back(key);
  }
  return true;
}

// A file without the key, or with an unusable one, is read as if aligned to the default.
void resolve_alignment(Report& report) {
  Header& header = report.header;
  const Key* key = header.find_key("general.alignment");
  if (key == nullptr) return;
  const auto alignment = key->value.as<std::uint32_t>();
  if (!alignment) {
    report.defects.add(DefectCode::bad_alignment, key->name, key->offset,
                       "general.alignment is of type {}, not u32", name_of(key->value.type()));
  } else if (*alignment == 0 || (*alignment & (*alignment - 1)) != 0 || *alignment > max_alignment) {
    report.defects.add(DefectCode::bad_alignment, key->name, key->offset,
                       "general.alignment is {}; it must be a power of two up to {}", *alignment,
                       max_alignment);
  } else {
    header.alignment = *alignment;
  }
}

void find_duplicate_keys(Report& report) {
  const auto order = report.header.key_order();
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Key& key = report.header.keys[order[i]];
    if (key.name != report.header.keys[order[i - 1]].name) continue;
    report.defects.add(DefectCode::duplicate_key, key.name, key.offset,
                       "key {} stands in the file more than once", printable(key.name));
  }
}

}  // namespace

Report read(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  Report report;
  Scan scan(Cursor(bytes, file_bytes), report);
  std::uint64_t n_tensors = 0;
  std::uint64_t n_keys = 0;
  const bool started = read_magic(scan) && read_version(scan) && scan.number(n_tensors, header_place) &&
                       scan.number(n_keys, header_place) && check_counts(scan, n_tensors, n_keys);
  const bool keys_read = started && read_keys(scan, n_keys, n_tensors);
  report.header.index();
  find_duplicate_keys(report);
  if (!keys_read) return report;

  resolve_alignment(report);
  (void)read_tensors(scan, n_tensors);
  return report;
}

}  // namespace ggufd::gguf
