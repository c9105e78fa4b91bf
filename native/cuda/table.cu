// The kernels as a table.
#include "kernels.h"

namespace rescunet::cuda {

static void (*const entries[])(const void* args, Queue& queue) = {
#define KERNEL(name, fields) [](const void* args, Queue& queue) { name(*static_cast<const name##_args*>(args), queue); },
#include "../kernels.def"
#undef KERNEL
};
const KernelTable kTable = entries;

}  // namespace rescunet::cuda
