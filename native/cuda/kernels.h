// The CUDA kernels' common ground: one entry per line of kernels.def, in files with the stems of native/cpu. An entry runs on
// the host: it chooses grids and launches on the queue, whose order is the order of the instructions.
#pragma once
#include <stdexcept>
#include <string>
#include "../kernels.h"
#include "gpu.h"

namespace rescunet::cuda {

/// One entry per kernel, in the order of kernels.def; takes the kernel's argument struct.
using KernelTable = void (*const*)(const void* args, Queue& queue);
extern const KernelTable kTable;  // table.cc

#define KERNEL(name, fields) void name(const name##_args& a, Queue& queue);
#include "../kernels.def"
#undef KERNEL

/// Whether float4 loads may be used on all of these.
template <class... T> bool aligned16(const T*... p) { return ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...); }

__host__ __device__ constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace rescunet::cuda
