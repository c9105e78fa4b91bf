// kernels.def, expanded: one argument struct per kernel, its decoder from the instruction stream, and the list of fields
// that TypeScript encodes from. A struct's members are the fields in the order of the file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include "scalar.h"

namespace rescunet {

enum class DType : int { f32 = 0, i32 = 1, u8 = 2, bf16 = 3 };
inline constexpr int64_t kBytes[] = {4, 4, 1, 2};

/// A list of buffers, and one of numbers; their items lie with the device while the kernel runs.
template <class T> struct List { void* const* item; int64_t count; T* operator[](int64_t i) const { return static_cast<T*>(item[i]); } };
struct Counts { const double* item; int64_t count; int64_t operator[](int64_t i) const { return static_cast<int64_t>(item[i]); } };

struct Ints { int64_t v[6]; int64_t operator[](int i) const { return v[i]; } };

#define IN(type, name) const type* name;
#define OPT(type, name) const type* name;
#define OUT(type, name) type* name;
#define INOUT(type, name) type* name;
#define INT(name) int64_t name;
#define REAL(name) float name;
#define INTS(name, count) Ints name;
#define INS(type, name) List<const type> name;
#define INOUTS(type, name) List<type> name;
#define COUNTS(name) Counts name;
#define KERNEL(name, fields) struct name##_args { fields };
#include "kernels.def"
#undef KERNEL
#undef IN
#undef OPT
#undef OUT
#undef INOUT
#undef INT
#undef REAL
#undef INTS
#undef INS
#undef INOUTS
#undef COUNTS

/// The line that one with STATS begins with.
template <class Plain, class Args> Plain without_stats(const Args& args) {
  static_assert(offsetof(Plain, stored) == offsetof(Args, mean));
  Plain plain;
  std::memcpy(&plain, &args, offsetof(Plain, stored));
  plain.stored = args.stored;
  return plain;
}

/// Order of the kernels in kernels.def: the opcode.
enum Opcode : int {
#define KERNEL(name, fields) op_##name,
#include "kernels.def"
#undef KERNEL
  kKernelCount
};

enum class FieldKind : uint8_t { in, opt, out, inout, integer, real, integers, ins, inouts, counts };
struct Field { FieldKind kind; const char* name; int words; const char* type; };  // of a buffer's elements, else empty
struct KernelInfo { const char* name; const Field* fields; int field_count; };
extern const KernelInfo kKernels[kKernelCount];  // program.cc

}  // namespace rescunet
