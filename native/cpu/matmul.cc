// c [m, n] = a [m, k] b [k, n] + bias: b packed into panels in scratch, rows of a as they lie (a transposed a is turned first).
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kTiles = 8;  // tiles of rows that share a panel while it is in L1

// [panels][k][kWidth], zero-filled at the right.
static void pack(const float* b, bool transposed, int64_t k, int64_t n, float* to, Pool& pool) {
  pool.run(panels_of(n), [&](int64_t p) {
    float* panel = to + p * k * kWidth;
    int64_t columns = std::min<int64_t>(kWidth, n - p * kWidth);
    if (transposed) return pack_panel(b + p * kWidth * k, k, columns, k, panel);
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j < kWidth; j++) panel[i * kWidth + j] = j < columns ? b[i * n + p * kWidth + j] : 0.f;
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
    Spare spare;
    const int64_t tiles = (std::min(block, m - m0) + kRows - 1) / kRows;
    for (int64_t k0 = 0; k0 < std::max<int64_t>(k, 1); k0 += kDepth) {
      const int64_t depth = std::min(kDepth, k - k0);
      for (int64_t p = p0; p < p1; p++) {
        alignas(64) float shifted[kWidth] = {};
        const int64_t columns = std::min<int64_t>(kWidth, n - p * kWidth);
        if (bias) std::memcpy(shifted, bias + p * kWidth, columns * sizeof(float));
        for (int64_t t = 0; t < tiles; t++) {
          const float* rows[kRows];
          float* out[kRows];
          for (int i = 0; i < kRows; i++) {
            int64_t row = m0 + t * kRows + i;
            rows[i] = row < m ? a + row * k + k0 : Spare::zeros();
            out[i] = row < m ? c + row * n + p * kWidth : spare.written;
          }
          tile_rows(rows, 1, depth, panels + (p * k + k0) * kWidth, {out, columns, k0 == 0, bias ? shifted : nullptr});
        }
      }
    }
  });
}

void matmul(const matmul_args& p, Pool& pool) {
  float* turned = p.scratch + panels_of(p.n) * kWidth * p.k;
  for (int64_t q = 0; q < p.batch; q++) {
    if (q == 0 || p.bstride) pack(p.b + q * p.bstride, p.tb, p.k, p.n, p.scratch, pool);
    const float* a = p.a + q * p.astride;
    if (p.ta && (q == 0 || p.astride)) turn(a, p.k, p.m, turned, pool);
    product(p.ta ? turned : a, p.scratch, p.bias, p.c + q * p.m * p.n, p.m, p.n, p.k, pool);
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
