// The table of tensors: each entry by itself first, then, with the start of the data known, where each one
// lies.
#include <algorithm>
#include <limits>

#include "gguf/scan.h"

namespace ggufd::gguf {
namespace {

constexpr std::uint64_t max_elements = std::numeric_limits<std::int64_t>::max();  // ggml counts in i64
constexpr std::uint32_t max_skipped_dimensions = 64;  // a claim beyond it is noise, not a table to go on with

void check_tensor_name(Scan& scan, const Tensor& tensor) {
  Defects& defects = scan.report.defects;
  if (tensor.name.empty()) {
    defects.add(DefectCode::bad_tensor_name, "", tensor.info_offset, "the tensor at byte {} has no name",
                tensor.info_offset);
  } else if (tensor.name.size() > max_tensor_name_bytes) {
    defects.add(DefectCode::bad_tensor_name, tensor.name, tensor.info_offset,
                "the name of tensor {} has {} bytes; at most {} are allowed", printable(tensor.name),
                tensor.name.size(), max_tensor_name_bytes);
  } else if (holds_control_bytes(tensor.name)) {
    defects.add(DefectCode::bad_tensor_name, tensor.name, tensor.info_offset,
                "the name of tensor {} holds control bytes, at which engines may cut it",
                printable(tensor.name));
  }
}

// False when the table cannot be read on. `usable` says whether the shape may be multiplied out.
bool read_shape(Scan& scan, Tensor& tensor, bool& usable) {
  std::uint32_t n_dims = 0;
  const std::uint64_t at = scan.in.position();
  if (!scan.number(n_dims, tensor.name)) return false;
  usable = n_dims >= 1 && n_dims <= max_dimensions;
  if (!usable) {
    scan.report.defects.add(DefectCode::bad_dimension_count, tensor.name, at,
                            "tensor {} has {} dimensions; 1 to {} are allowed", printable(tensor.name),
                            n_dims, max_dimensions);
    std::span<const std::byte> skipped;
    return n_dims <= max_skipped_dimensions &&
           scan.bytes(n_dims * sizeof(std::int64_t), skipped, tensor.name);
  }
  tensor.n_dims = n_dims;
  for (std::uint32_t d = 0; d < n_dims; ++d) {
    std::int64_t extent = 0;
    if (!scan.number(extent, tensor.name)) return false;
    if (extent < 1) {
      usable = false;
      scan.report.defects.add(DefectCode::bad_dimension, tensor.name, scan.in.position() - sizeof extent,
                              "dimension {} of tensor {} is {}; it must be at least 1", d,
                              printable(tensor.name), extent);
    }
    tensor.shape[d] = extent < 0 ? 0 : static_cast<std::uint64_t>(extent);
  }
  return true;
}

bool read_type(Scan& scan, Tensor& tensor) {
  const std::uint64_t at = scan.in.position();
  if (!scan.number(tensor.type_id, tensor.name)) return false;
  tensor.type = tensor_type(tensor.type_id);
  if (tensor.type != nullptr) return true;
  if (const auto removed = removed_tensor_type(tensor.type_id)) {
    scan.report.defects.add(DefectCode::removed_tensor_type, tensor.name, at,
                            "tensor {} is of type {}, which was removed; quantize the model again",
                            printable(tensor.name), *removed);
  } else {
    scan.report.defects.add(DefectCode::unknown_tensor_type, tensor.name, at,
                            "tensor {} is of the unknown type {}", printable(tensor.name), tensor.type_id);
  }
  return true;
}

// Sets elements and bytes where shape and type allow it.
void measure(Scan& scan, Tensor& tensor) {
  Defects& defects = scan.report.defects;
  std::uint64_t elements = 1;
  bool wraps = false;
  for (const std::uint64_t extent : tensor.dimensions())
    wraps |= __builtin_mul_overflow(elements, extent, &elements);
  if (!wraps && elements <= max_elements) {
    tensor.elements = elements;
    if (tensor.type == nullptr) return;
    if (tensor.shape[0] % tensor.type->block_elements != 0) {
      defects.add(DefectCode::partial_block, tensor.name, tensor.info_offset,
                  "rows of tensor {} have {} elements, which is no multiple of {}'s block of {}",
                  printable(tensor.name), tensor.shape[0], tensor.type->name, tensor.type->block_elements);
      return;
    }
    if (const auto bytes = row_bytes(*tensor.type, elements)) {
      tensor.bytes = *bytes;
      return;
    }
  }
  defects.add(DefectCode::tensor_too_large, tensor.name, tensor.info_offset,
              "the size of tensor {} does not fit in 63 bits", printable(tensor.name));
}

bool read_tensor(Scan& scan, Tensor& tensor) {
  bool usable = false;
  tensor.info_offset = scan.in.position();
  if (!scan.string(tensor.name, header_place, "the name of a tensor")) return false;
  check_tensor_name(scan, tensor);
  if (!read_shape(scan, tensor, usable) || !read_type(scan, tensor)) return false;
  if (!scan.number(tensor.offset, tensor.name)) return false;
  if (usable) measure(scan, tensor);
  return true;
}

// The next multiple of a power of two; false where it leaves 64 bits.
bool pad(std::uint64_t value, std::uint64_t alignment, std::uint64_t& padded) {
  if (__builtin_add_overflow(value, alignment - 1, &padded)) return false;
  padded &= ~(alignment - 1);
  return true;
}

void check_offset(Report& report, const Tensor& tensor, bool expected_known, std::uint64_t expected) {
  if (expected_known && tensor.offset != expected) {
    report.defects.add(DefectCode::bad_tensor_offset, tensor.name, tensor.info_offset,
                       "tensor {} is at data offset {} where {} is expected", printable(tensor.name),
                       tensor.offset, expected);
  } else if (tensor.offset % report.header.alignment != 0) {
    report.defects.add(DefectCode::bad_tensor_offset, tensor.name, tensor.info_offset,
                       "tensor {} is at data offset {}, which is not aligned to {}", printable(tensor.name),
                       tensor.offset, report.header.alignment);
  }
}

void check_bounds(Report& report, const Tensor& tensor, std::uint64_t file_bytes) {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  if (__builtin_add_overflow(report.header.data_offset, tensor.offset, &start) ||
      __builtin_add_overflow(start, tensor.bytes, &end) || end > file_bytes) {
    report.defects.add(
        DefectCode::tensor_outside_file, tensor.name, tensor.info_offset,
        "tensor {} ({} bytes at data offset {}) does not lie within the file's {} bytes; the file is "
        "cut short or damaged, fetch it again",
        printable(tensor.name), tensor.bytes, tensor.offset, file_bytes);
    return;
  }
  report.header.end_of_data = std::max(report.header.end_of_data, end);
}

// Offsets are exactly contiguous, so each tensor says where the next one starts. After one of unknown size,
// or a wrong offset, the count starts again from what the file says, which names each mistake once.
void place(Report& report, std::uint64_t file_bytes) {
  bool expected_known = true;
  std::uint64_t expected = 0;
  for (const Tensor& tensor : report.header.tensors) {
    check_offset(report, tensor, expected_known, expected);
    check_bounds(report, tensor, file_bytes);
    std::uint64_t padded_bytes = 0;
    expected_known = tensor.bytes != 0;
    if (!expected_known) continue;
    expected_known = pad(tensor.bytes, report.header.alignment, padded_bytes) &&
                     !__builtin_add_overflow(tensor.offset, padded_bytes, &expected);
    if (!expected_known) {
      report.defects.add(DefectCode::data_size_overflow, tensor.name, tensor.info_offset,
                         "the sizes of the tensors up to {} add up to more than 64 bits",
                         printable(tensor.name));
    }
  }
}

void find_duplicate_tensors(Report& report) {
  const auto order = report.header.tensor_order();
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Tensor& tensor = report.header.tensors[order[i]];
    if (tensor.name != report.header.tensors[order[i - 1]].name) continue;
    report.defects.add(DefectCode::duplicate_tensor, tensor.name, tensor.info_offset,
                       "tensor {} stands in the file more than once", printable(tensor.name));
  }
}

bool read_entries(Scan& scan, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    scan.least_after = (count - i - 1) * least_tensor_bytes;
    Tensor tensor;
    if (!read_tensor(scan, tensor)) return false;
    scan.report.header.tensors.push_back(tensor);
  }
  return true;
}

}  // namespace

bool read_tensors(Scan& scan, std::uint64_t count) {
  Report& report = scan.report;
  const bool whole = read_entries(scan, count);
  report.header.index();
  find_duplicate_tensors(report);
  if (!whole) return false;
  // What is at hand lies in memory, so its end plus 2^24 does not wrap.
  if (!pad(scan.in.position(), report.header.alignment, report.header.data_offset)) return false;
  report.header.end_of_data = report.header.data_offset;
  place(report, scan.in.file_bytes());
  return true;
}

}  // namespace ggufd::gguf
