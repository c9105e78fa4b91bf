// What sm_90a adds, as inline PTX: barriers in shared memory that count bytes, copies of whole tiles by the tensor memory
// accelerator, and products by a warpgroup of 128 threads. sim_hopper.h has the same functions.
#pragma once
#include <cuda.h>  // types only: the encoder is looked up at run time, so that nothing links the driver
#include "tile_map.h"

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

template <class T> inline constexpr CUtensorMapDataType kMapType = sizeof(T) == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;

/// Boxes of `lines` rows of 128 bytes; zeros beyond the matrix.
template <class T> TensorMap matrix_map(const T* data, const MatrixLayers& m, int lines) {
  TensorMap map;
  const cuuint64_t sizes[] = {cuuint64_t(m.columns), cuuint64_t(m.rows), cuuint64_t(m.layers)};
  const cuuint64_t strides[] = {cuuint64_t(m.row_stride) * sizeof(T), cuuint64_t(m.layer_stride) * sizeof(T)};
  const cuuint32_t box[] = {kLineElements<T>, cuuint32_t(lines), 1}, steps[] = {1, 1, 1};
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  check_driver(encode(&map, kMapType<T>, 3, const_cast<T*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE), "cuTensorMapEncodeTiled");
  return map;
}

/// Boxes of `lines` positions, 128 bytes of channels each, of an image [n, y.size, x.size, c]; zeros beyond it.
template <class T> TensorMap pixels_map(const T* data, int64_t n, int64_t c, const WalkAxis& y, const WalkAxis& x, int lines) {
  TensorMap map;
  const cuuint64_t sizes[] = {cuuint64_t(c), cuuint64_t(x.size), cuuint64_t(y.size), cuuint64_t(n)};
  const cuuint64_t strides[] = {cuuint64_t(c) * sizeof(T), cuuint64_t(c * x.size) * sizeof(T), cuuint64_t(c * x.size * y.size) * sizeof(T)};
  const int lower[] = {x.first, y.first}, upper[] = {x.upper(), y.upper()};
  const cuuint32_t steps[] = {1, cuuint32_t(x.stride), cuuint32_t(y.stride), 1};
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  check_driver(encode(&map, kMapType<T>, 4, const_cast<T*>(data), sizes, strides, lower, upper, kLineElements<T>, cuuint32_t(lines), steps,
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

__device__ __forceinline__ void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row, int layer) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to), "l"(map), "r"(bar),
               "r"(column), "r"(row), "r"(layer) : "memory");
}
/// From position (n, y, x) on, under the tap that lies (down, across) from it.
__device__ __forceinline__ void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
               "l"(map), "r"(bar), "r"(channel), "r"(x), "r"(y), "r"(n), "h"(uint16_t(across)), "h"(uint16_t(down)) : "memory");
}

// ---- products by a warpgroup -------------------------------------------------------------------------------------------------

/// Registers of this warpgroup's threads, from here on: fewer for who copies, more for who multiplies.
template <int kCount> __device__ __forceinline__ void keep_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount)); }
template <int kCount> __device__ __forceinline__ void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount)); }

__device__ __forceinline__ void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending> __device__ __forceinline__ void warpgroup_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory"); }

#define TEN(t) "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define FIRST32 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9," TEN(1) TEN(2) "%30,%31"
#define FIRST64 FIRST32 ",%32,%33,%34,%35,%36,%37,%38,%39," TEN(4) TEN(5) "%60,%61,%62,%63"
#define FIRST128 FIRST64 ",%64,%65,%66,%67,%68,%69," TEN(7) TEN(8) TEN(9) TEN(10) TEN(11) "%120,%121,%122,%123,%124,%125,%126,%127"
#define SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SUMS16(i) SUMS4(i), SUMS4(i + 4), SUMS4(i + 8), SUMS4(i + 12)
#define SUMS64(i) SUMS16(i), SUMS16(i + 16), SUMS16(i + 32), SUMS16(i + 48)
#define MULTIPLY(form, numbers, a_b, sums, ...) asm volatile("wgmma.mma_async.sync.aligned." form " " numbers "}, " a_b ";" : sums : "l"(a), "l"(b) __VA_ARGS__)

/// d [64, kN] += a [64, 32 bytes] b [kN, 32 bytes]^T, tiles as described (tile_map.h); across: k lies down the lines. d belongs to the instruction until
/// it is waited for.
template <class T, int kN, bool kAcrossA, bool kAcrossB> __device__ __forceinline__ void warpgroup_multiply(float (&d)[kN / 2], uint64_t a, uint64_t b) {
#define SUMS(...) __VA_ARGS__
  if constexpr (sizeof(T) == 4) {
    static_assert(!kAcrossA && !kAcrossB, "tf32 is read along k");
    if constexpr (kN == 64) MULTIPLY("m64n64k8.f32.tf32.tf32", FIRST32, "%32, %33, 1, 1, 1", SUMS(SUMS16(0), SUMS16(16)));
    else if constexpr (kN == 128) MULTIPLY("m64n128k8.f32.tf32.tf32", FIRST64, "%64, %65, 1, 1, 1", SUMS(SUMS64(0)));
    else MULTIPLY("m64n256k8.f32.tf32.tf32", FIRST128, "%128, %129, 1, 1, 1", SUMS(SUMS64(0), SUMS64(64)));
  } else {
#define ACROSS , "n"(int(kAcrossA)), "n"(int(kAcrossB))
    if constexpr (kN == 64) MULTIPLY("m64n64k16.f32.bf16.bf16", FIRST32, "%32, %33, 1, 1, 1, %34, %35", SUMS(SUMS16(0), SUMS16(16)), ACROSS);
    else if constexpr (kN == 128) MULTIPLY("m64n128k16.f32.bf16.bf16", FIRST64, "%64, %65, 1, 1, 1, %66, %67", SUMS(SUMS64(0)), ACROSS);
    else MULTIPLY("m64n256k16.f32.bf16.bf16", FIRST128, "%128, %129, 1, 1, 1, %130, %131", SUMS(SUMS64(0), SUMS64(64)), ACROSS);
#undef ACROSS
  }
#undef SUMS
}

#undef TEN
#undef FIRST32
#undef FIRST64
#undef FIRST128
#undef SUMS4
#undef SUMS16
#undef SUMS64
#undef MULTIPLY

}  // namespace rescunet::cuda
