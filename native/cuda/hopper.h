// What sm_90a adds, as inline PTX: barriers in shared memory that count bytes, copies of whole tiles by the tensor memory
// accelerator, and products by a warpgroup of 128 threads. sim_hopper.h has the same functions.
#pragma once
#include <cuda.h>  // types only: the encoder is looked up at run time, so that nothing links the driver
#include "gpu.h"

namespace rescunet::cuda {

using TensorMap = CUtensorMap;

template <class F> F driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
  check(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result));
  if (!found) throw std::runtime_error(std::string("cuda: the driver is older than CUDA 12 and lacks ") + name + "; update the driver");
  return reinterpret_cast<F>(found);
}
inline void check_driver(CUresult status, const char* what) {
  if (status != CUDA_SUCCESS) throw std::runtime_error(std::string("cuda: ") + what + " failed with status " + std::to_string(int(status)));
}

/// Boxes of [box_rows, 32] floats of a matrix [rows, columns]; zeros beyond it.
inline TensorMap matrix_map(const float* data, int64_t rows, int64_t columns, int box_rows) {
  TensorMap map;
  const cuuint64_t sizes[] = {cuuint64_t(columns), cuuint64_t(rows)}, strides[] = {cuuint64_t(columns) * 4};
  const cuuint32_t box[] = {32, cuuint32_t(box_rows)}, steps[] = {1, 1};
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  check_driver(encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, const_cast<float*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE), "cuTensorMapEncodeTiled");
  return map;
}

/// Boxes of [pixels, 32 channels] of an image [n, h, w, c], walking positions as a convolution of k taps does.
inline TensorMap pixels_map(const float* data, int64_t n, int64_t h, int64_t w, int64_t c, WalkAxis y, WalkAxis x, int pixels) {
  TensorMap map;
  const cuuint64_t sizes[] = {cuuint64_t(c), cuuint64_t(w), cuuint64_t(h), cuuint64_t(n)};
  const cuuint64_t strides[] = {cuuint64_t(c) * 4, cuuint64_t(c * w) * 4, cuuint64_t(c * w * h) * 4};
  const int lower[] = {-x.padding, -y.padding}, upper[] = {x.padding - x.reach, y.padding - y.reach};
  const cuuint32_t steps[] = {1, cuuint32_t(x.stride), cuuint32_t(y.stride), 1};
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  check_driver(encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, const_cast<float*>(data), sizes, strides, lower, upper, 32, cuuint32_t(pixels), steps,
                      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
               "cuTensorMapEncodeIm2col");
  return map;
}

// ---- barriers in shared memory: a phase ends when `arrivals` threads and all expected bytes have come ------------------------

__device__ __forceinline__ void mbarrier_init(uint32_t bar, int arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(arrivals) : "memory"); }
/// Makes initialised barriers known to the copies; a barrier of the block follows.
__device__ __forceinline__ void mbarrier_publish() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void mbarrier_arrive(uint32_t bar) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory"); }
__device__ __forceinline__ void mbarrier_arrive_expecting(uint32_t bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
/// Until the phase of this parity (0, 1, 0, ...) has ended.
__device__ __forceinline__ void mbarrier_wait(uint32_t bar, int parity) {
  asm volatile("{\n.reg .pred p;\nagain_%=: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra again_%=;\n}" ::"r"(bar), "r"(parity) : "memory");
}

// ---- tiles by the tensor memory accelerator, in rows of 128 bytes, swizzled; `to` a multiple of 1024 --------------------------

__device__ __forceinline__ void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to), "l"(map), "r"(bar),
               "r"(column), "r"(row) : "memory");
}
/// From position (n, y, x) on, under the tap that lies (down, across) from it.
__device__ __forceinline__ void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
               "l"(map), "r"(bar), "r"(channel), "r"(x), "r"(y), "r"(n), "h"(uint16_t(across)), "h"(uint16_t(down)) : "memory");
}

// ---- products by a warpgroup -------------------------------------------------------------------------------------------------

/// Rows of 128 bytes, swizzled, groups of eight rows 1024 bytes apart.
__device__ __forceinline__ uint64_t tile_descriptor(uint32_t address) {
  return uint64_t((address & 0x3ffff) >> 4) | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}
__device__ __forceinline__ void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending> __device__ __forceinline__ void warpgroup_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory"); }
/// d [64, 64] += a [64, 8] b [64, 8]^T in tf32; d belongs to the instruction until it is waited for.
__device__ __forceinline__ void warpgroup_multiply_tf32(float (&d)[32], uint64_t a, uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
               "%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, 1, 1, 1;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]),
                 "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
                 "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
               : "l"(a), "l"(b));
}

}  // namespace rescunet::cuda
