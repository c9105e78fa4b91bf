// The kernels of one instruction set as a table.
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

extern void (*const table[])(const void* args, Pool& pool);
void (*const table[])(const void* args, Pool& pool) = {
#define KERNEL(name, fields) [](const void* args, Pool& pool) { name(*static_cast<const name##_args*>(args), pool); },
#include "../kernels.def"
#undef KERNEL
};

}  // namespace rescunet::cpu::RESCUNET_ISA
