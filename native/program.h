// The instruction stream: doubles, because one typed array then carries slots, sizes and parameters alike (integers are
// exact to 2^53). An instruction is its opcode (kernels.h), then the kernel's fields in the order of kernels.def.
#pragma once
#include "device.h"

namespace rescunet {

enum Control : int {
  kAllocate = -1,  // slot, bytes
  kFree = -2,      // slot
  kView = -3,      // slot, base slot, byte offset, bytes
  kReplay = -4,    // program number
};

struct Reader {
  Device& device;
  const double* word;
  Fault fault;  // of the first faulty input
  std::vector<Access>* accesses = nullptr;

  const void* input();
  void* output();
  int64_t integer() { return static_cast<int64_t>(*word++); }
  float real() { return static_cast<float>(*word++); }
  Ints integers(int count);
  template <class T> List<T> list(bool written);
  Counts counts();
};

/// Room for any kernel's argument struct.
union AnyArgs {
  AnyArgs() {}
#define KERNEL(name, fields) name##_args name;
#include "kernels.def"
#undef KERNEL
};

/// Reads the fields of one instruction into its argument struct.
void decode(int opcode, Reader& reader, AnyArgs& args);

}  // namespace rescunet
