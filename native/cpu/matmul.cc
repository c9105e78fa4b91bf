// c [m, n] = a [m, k] b [k, n] + bias: b packed into panels in scratch, rows of a as they lie (a transposed a is turned first). For a few
// rows packing would cost more than the product: b is then read once, as it lies.
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kFewRows = 4;
static constexpr int64_t kTiles = 8;  // tiles of rows that share a panel while it is near

// A block's rows of a, a line further apart than their length: rows a multiple of 2 KiB apart share a few sets of the L1 cache, so where several
// panels take them they are copied.
struct Rows {
  static constexpr int64_t kStride = kDepth + 16;
  alignas(64) float data[kTiles * kRows * kStride];
  float* row(int64_t i) { return data + i * kStride; }
  static bool pays(int64_t stride, int64_t panels) { return stride % 512 == 0 && panels >= 4; }
};
// [panels][k][kWidth], zero-filled at the right.
static void pack(const float* b, bool transposed, int64_t k, int64_t n, float* to, Pool& pool) {
  const int64_t panels = panels_of(n);
  const auto columns = [&](int64_t p) { return std::min<int64_t>(kWidth, n - p * kWidth); };
  if (transposed) return pool.run(panels, [&](int64_t p) { pack_panel(b + p * kWidth * k, k, columns(p), k, to + p * k * kWidth); });
  pool.split(k, 32, [&](int64_t begin, int64_t end) {  // a few rows for all panels: one panel down the rows would meet another page at every step
    for (int64_t p = 0; p < panels; p++)
      for (int64_t i = begin; i < end; i++)
        for (int j = 0; j < kWidth; j += kLanes) store(to + (p * k + i) * kWidth + j, load(b + i * n + p * kWidth + j, columns(p) - j));
  });
}

static void turn(const float* a, int64_t k, int64_t m, float* to, Pool& pool) {
  pool.split(m, 16, [&](int64_t begin, int64_t end) {
    for (int64_t l = 0; l < k; l++)
      for (int64_t i = begin; i < end; i++) to[i * k + l] = a[l * m + i];
  });
}

static void product(const float* a, const float* panels, const float* bias, float* c, int64_t m, int64_t n, int64_t k, Pool& pool) {
  const int64_t block = kTiles * kRows, blocks = (m + block - 1) / block, panel_count = panels_of(n);
  const int64_t groups = std::min(panel_count, std::max<int64_t>(1, (15 + blocks) / blocks));  // enough chunks for many threads
  pool.run(blocks * groups, [&](int64_t chunk) {
    const int64_t m0 = chunk / groups * block, p0 = chunk % groups * panel_count / groups, p1 = (chunk % groups + 1) * panel_count / groups;
    static thread_local Rows copied;
    const bool copies = Rows::pays(k, p1 - p0);
    Spare spare;
    const int64_t tiles = (std::min(block, m - m0) + kRows - 1) / kRows;
    for (int64_t k0 = 0; k0 < std::max<int64_t>(k, 1); k0 += kDepth) {
      const int64_t depth = std::min(kDepth, k - k0);
      for (int64_t i = 0; copies && i < std::min(block, m - m0); i++) std::memcpy(copied.row(i), a + (m0 + i) * k + k0, depth * sizeof(float));
      for (int64_t p = p0; p < p1; p++) {
        alignas(64) float shifted[kWidth] = {};
        const int64_t columns = std::min<int64_t>(kWidth, n - p * kWidth);
        if (bias) std::memcpy(shifted, bias + p * kWidth, columns * sizeof(float));
        for (int64_t t = 0; t < tiles; t++) {
          const float* rows[kRows];
          float* out[kRows];
          for (int i = 0; i < kRows; i++) {
            int64_t row = m0 + t * kRows + i;
            rows[i] = row >= m ? Spare::zeros() : copies ? copied.row(t * kRows + i) : a + row * k + k0;
            out[i] = row < m ? c + row * n + p * kWidth : spare.written;
          }
          tile_rows(rows, 1, depth, panels + (p * k + k0) * kWidth, {out, columns, k0 == 0, bias ? shifted : nullptr});
        }
      }
    }
  });
}

// Columns [begin, end) of c = a b: a chunk of a row of b is in L1 while every row of a takes it.
static void by_rows(const matmul_args& p, const float* a, const float* b, int64_t begin, int64_t end, float* c) {
  constexpr int64_t kColumns = 512;
  for (int64_t j0 = begin; j0 < end; j0 += kColumns) {
    const int64_t columns = std::min(kColumns, end - j0);
    float sums[kFewRows][kColumns];
    for (int64_t l0 = 0; l0 < p.k; l0 += kDepth) {
      std::memset(sums, 0, sizeof sums);
      for (int64_t l = l0; l < std::min(p.k, l0 + kDepth); l++)
        for (int64_t i = 0; i < p.m; i++)
          for (int64_t j = 0; j < columns; j++) sums[i][j] += a[i * p.k + l] * b[l * p.n + j0 + j];
      for (int64_t i = 0; i < p.m; i++)
        for (int64_t j = 0; j < columns; j++) {
          const float before = l0 ? c[i * p.n + j0 + j] : p.bias ? p.bias[j0 + j] : 0.f;
          c[i * p.n + j0 + j] = before + sums[i][j];
        }
    }
  }
}

// The same where b is stored [n, k].
static void by_columns(const matmul_args& p, const float* a, const float* b, int64_t begin, int64_t end, float* c) {
  constexpr int64_t kTerms = 4 * kLanes;
  for (int64_t j = begin; j < end; j++)
    for (int64_t i = 0; i < p.m; i++) {
      const float *row = a + i * p.k, *column = b + j * p.k;
      Vec sums[4] = {};
      int64_t l = 0;
      for (; l + kTerms <= p.k; l += kTerms)
        for (int s = 0; s < 4; s++) sums[s] += load(row + l + s * kLanes) * load(column + l + s * kLanes);
      float sum = total((sums[0] + sums[1]) + (sums[2] + sums[3])) + (p.bias ? p.bias[j] : 0.f);
      for (; l < p.k; l++) sum += row[l] * column[l];
      c[i * p.n + j] = sum;
    }
}

static void few_rows(const matmul_args& p, int64_t q, Pool& pool) {
  const float *a = p.a + q * p.astride, *b = p.b + q * p.bstride;
  float* c = p.c + q * p.m * p.n;
  pool.split(p.n, p.tb ? 32 : 512, [&](int64_t begin, int64_t end) { (p.tb ? by_columns : by_rows)(p, a, b, begin, end, c); });
}

void matmul(const matmul_args& p, Pool& pool) {
  if (p.m <= kFewRows && !p.ta) {
    for (int64_t q = 0; q < p.batch; q++) few_rows(p, q, pool);
    return;
  }
  float* turned = p.scratch + panels_of(p.n) * kWidth * p.k;
  for (int64_t q = 0; q < p.batch; q++) {
    if (q == 0 || p.bstride) pack(p.b + q * p.bstride, p.tb, p.k, p.n, p.scratch, pool);
    const float* a = p.a + q * p.astride;
    if (p.ta && (q == 0 || p.astride)) turn(a, p.k, p.m, turned, pool);
    product(p.ta ? turned : a, p.scratch, p.bias, p.c + q * p.m * p.n, p.m, p.n, p.k, pool);
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
