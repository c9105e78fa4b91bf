// How a block multiplies the tiles that lie in shared memory: by fused multiply-adds in f32, or on tensor cores in tf32 or bf16
// (f32 operands rounded on their way to the registers, sums f32). A Sums holds a thread's share of the block's kM x kN sums.
#pragma once
#include "ending.h"

namespace rescunet::cuda {

inline constexpr int kDepth = 16, kThreads = 256, kWarps = kThreads / 32;

/// A tile of kRows lines of kDepth in shared memory, lying as its operand does. The padding keeps the readings of a warp in
/// different banks.
template <int kRows, bool kAlongK, class T = float> struct SharedTile {
  static constexpr bool kMatrices = kAlongK && sizeof(T) == 2;  // lines as ldmatrix reads them
  static constexpr int kLine = kAlongK ? kDepth + 16 / int(sizeof(T)) : kRows + 8, kLines = kAlongK ? kRows : kDepth, kLength = kAlongK ? kDepth : kRows;
  static constexpr int kBytes = kLine * kLines * int(sizeof(T));
  const T* data;
  __device__ const T& at(int row, int k) const { return kAlongK ? data[row * kLine + k] : data[k * kLine + row]; }
  __device__ float operator()(int row, int k) const { return number(at(row, k)); }
};

/// Threads [16, 16], each with every 16th row and column.
template <int kM, int kN, int> struct SumsF32 {
  float sums[kM / 16][kN / 16] = {};

  template <class A, class B> __device__ void add(const A& a, const B& b) {
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll 4
    for (int k = 0; k < kDepth; k++) {
      float u[kM / 16], v[kN / 16];
#pragma unroll
      for (int i = 0; i < kM / 16; i++) u[i] = a(ty + 16 * i, k);
#pragma unroll
      for (int j = 0; j < kN / 16; j++) v[j] = b(tx + 16 * j, k);
#pragma unroll
      for (int i = 0; i < kM / 16; i++)
#pragma unroll
        for (int j = 0; j < kN / 16; j++) sums[i][j] += u[i] * v[j];
    }
  }

  template <class F> __device__ void each(const F& f) const {
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
    for (int i = 0; i < kM / 16; i++)
#pragma unroll
      for (int j = 0; j < kN / 16; j++) f(ty + 16 * i, tx + 16 * j, sums[i][j]);
  }
};

/// Warps [kWarpsM, kWarps / kWarpsM], each with a rectangle of 16 x 8 fragments.
template <int kM, int kN, int kWarpsM, bool kBf16> struct SumsTensor {
  static constexpr int kHigh = kM / kWarpsM, kWide = kN / (kWarps / kWarpsM), kStep = kBf16 ? 16 : 8;
  float sums[kHigh / 16][kWide / 8][4] = {};

  // Elements (row, k) and, in bf16, (row, k + 1) as one register.
  template <int kRows, bool kAlongK, class T> static __device__ uint32_t pack(const SharedTile<kRows, kAlongK, T>& tile, int row, int k) {
    if constexpr (!kBf16) return to_tf32(tile(row, k));
    else if constexpr (sizeof(T) == 2) return uint32_t(tile.at(row, k).bits) | uint32_t(tile.at(row, k + 1).bits) << 16;
    else return to_bf16x2(tile(row, k), tile(row, k + 1));
  }

  template <class Tile> static __device__ uint32_t pack(const Tile& tile, int row, int k) {
    if constexpr (kBf16) return to_bf16x2(tile(row, k), tile(row, k + 1));
    else return to_tf32(tile(row, k));
  }

  template <class A, class B> __device__ void add(const A& a, const B& b) {
    const int warp = threadIdx.x / 32, row0 = warp % kWarpsM * kHigh, column0 = warp / kWarpsM * kWide;
    const int lane = threadIdx.x % 32, line = lane / 4, at = lane % 4 * (kBf16 ? 2 : 1), half = kStep / 2;
#pragma unroll
    for (int k = 0; k < kDepth; k += kStep) {
      uint32_t v[kWide / 8][2];
      if constexpr (B::kMatrices) {
#pragma unroll
        for (int j = 0; j < kWide / 8; j += 2) {
          uint32_t two[4];
          load_matrix_x4(two, shared_address(&b.at(column0 + 8 * j + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * 8)));
          v[j][0] = two[0], v[j][1] = two[1], v[j + 1][0] = two[2], v[j + 1][1] = two[3];
        }
      } else {
#pragma unroll
        for (int j = 0; j < kWide / 8; j++)
#pragma unroll
          for (int h = 0; h < 2; h++) v[j][h] = pack(b, column0 + 8 * j + line, k + at + h * half);
      }
#pragma unroll
      for (int i = 0; i < kHigh / 16; i++) {
        uint32_t u[4];
        if constexpr (A::kMatrices) load_matrix_x4(u, shared_address(&a.at(row0 + 16 * i + lane % 16, k + lane / 16 * 8)));
        else
#pragma unroll
          for (int q = 0; q < 4; q++) u[q] = pack(a, row0 + 16 * i + line + q % 2 * 8, k + at + q / 2 * half);
#pragma unroll
        for (int j = 0; j < kWide / 8; j++) {
          if constexpr (kBf16) multiply_bf16(sums[i][j], u, v[j][0], v[j][1]);
          else multiply_tf32(sums[i][j], u, v[j][0], v[j][1]);
        }
      }
    }
  }

  template <class F> __device__ void each(const F& f) const {
    const int warp = threadIdx.x / 32, row0 = warp % kWarpsM * kHigh, column0 = warp / kWarpsM * kWide;
    const int line = threadIdx.x % 32 / 4, at = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < kHigh / 16; i++)
#pragma unroll
      for (int j = 0; j < kWide / 8; j++)
#pragma unroll
        for (int q = 0; q < 4; q++) f(row0 + 16 * i + line + q / 2 * 8, column0 + 8 * j + at + q % 2, sums[i][j][q]);
  }
};

template <int kM, int kN, int kWarpsM> struct SumsTf32 : SumsTensor<kM, kN, kWarpsM, false> {};
template <int kM, int kN, int kWarpsM> struct SumsBf16 : SumsTensor<kM, kN, kWarpsM, true> {};

}  // namespace rescunet::cuda
