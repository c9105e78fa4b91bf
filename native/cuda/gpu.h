// The slice of CUDA that our kernels use. nvcc reads it as CUDA; g++ with RESCUNET_SIM reads the same kernels as fibers on the
// cpu (sim.h), where whatever the hardware may delay is delayed. A kernel uses nothing that is not in both.
//
//   SHARED(float[32][33], tile)       shared memory of a block          dynamic_shared<T>()   the part sized at launch
//   launch<kernel>(queue, {grid, block, dynamic bytes}, arguments...)   checked; the queue knows which instruction it runs
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include "precision.h"

#ifdef __CUDACC__
#include "ptx.h"
#else
#include "sim.h"
#endif

namespace rescunet::cuda {

/// Where kernels are sent: a stream of the device and what a kernel may ask of its host.
class Queue {
 public:
  virtual ~Queue() = default;

  /// Memory that is the kernel's own until the next one on this queue starts. Grows, never moves while a step is captured. There are such rooms for
  /// what one kernel needs at a time: a product lays its parts in one while it reads or writes what lies in the second, and its columns' moments in the third.
  enum Room { kParts, kOperands, kMoments, kRooms };
  virtual void* workspace(size_t bytes, Room room) = 0;
  template <class T> T* workspace(int64_t count, Room room = kParts) { return static_cast<T*>(workspace(size_t(count) * sizeof(T), room)); }

  /// A cell of the running instruction, ~0 unless a thread has lowered it to the position of something invalid.
  virtual unsigned long long* failure() = 0;
  /// Waits, and says where the first invalid thing stands, or -1. Inside a captured step it neither waits nor knows: the
  /// replay is checked as a whole when something is read.
  virtual int64_t failed_at() = 0;
  /// Copies to the host and waits.
  virtual void read(void* to, const void* from, size_t bytes) = 0;
  template <class T> T read(const T* from) {
    T value;
    read(&value, from, sizeof value);
    return value;
  }

  gpuStream_t stream = {};
  Precision precision = Precision::f32;
  int architecture = 80;  // 90: the instructions of sm_90a are there
};

struct Launch {
  dim3 grid, block;
  size_t dynamic = 0;  // bytes of dynamic shared memory
};

/// Kernel parameters are converted to the kernel's types before they travel.
template <auto kKernel, class... P> void launch_as(Queue& queue, const Launch& l, void (*)(P...), std::type_identity_t<P>... p) {
  if (l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0) return;  // nothing to do
#ifdef __CUDACC__
  // Before every such launch: what was allowed holds for one card, and cards differ in how much they can allow.
  if (l.dynamic > 48 << 10) check(cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(l.dynamic)));
  kKernel<<<l.grid, l.block, l.dynamic, queue.stream>>>(p...);
  check(cudaGetLastError());
#else
  sim::launch(*queue.stream, l.grid, l.block, l.dynamic, [&] { kKernel(p...); });
#endif
}

template <auto kKernel, class... A> void launch(Queue& queue, const Launch& l, const A&... a) { launch_as<kKernel>(queue, l, kKernel, a...); }

/// Blocks of `block` threads for `count` of them, no more than there is use for: kernels walk on by grid_threads().
inline dim3 grid_for(int64_t count, int block) {
  constexpr int64_t kEnough = 1 << 16;
  const int64_t blocks = (count + block - 1) / block;
  return dim3(static_cast<unsigned>(blocks < kEnough ? blocks : kEnough));
}

__device__ inline int64_t thread_number() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t grid_threads() { return int64_t(gridDim.x) * blockDim.x; }

/// Marks position `at` as invalid; the lowest wins, so that the message does not depend on the order of threads.
__device__ inline void report(unsigned long long* failure, int64_t at) { atomicMin(failure, static_cast<unsigned long long>(at)); }

}  // namespace rescunet::cuda
