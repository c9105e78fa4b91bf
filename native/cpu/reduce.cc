// Sums and maxima along one axis of x [outer, axis, inner]. Sums run over blocks of kBlock in f32 and over the blocks in
// f64, in an order that depends on the shape alone.
#include <algorithm>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kBlock = 256, kColumns = 64, kParts = 16;

// Sum of n neighbouring numbers: four vectors of partial sums, then across.
static double sum_row(const float* x, int64_t n) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += 16 * kBlock) {
    int64_t end = std::min(n, begin + 16 * kBlock), i = begin;
    Vec s[4] = {};
    for (; i + 4 * kLanes <= end; i += 4 * kLanes)
      for (int v = 0; v < 4; v++) s[v] += load(x + i + v * kLanes);
    Vec all = (s[0] + s[1]) + (s[2] + s[3]);
    for (int l = 0; l < kLanes; l++) total += double(all[l]);
    for (; i < end; i++) total += double(x[i]);
  }
  return total;
}

// Sums of up to kColumns neighbouring columns over `rows` rows.
static void sum_columns(const float* x, int64_t rows, int64_t stride, int64_t columns, double* total) {
  std::fill(total, total + columns, 0.0);
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    float part[kColumns] = {};
    for (int64_t i = begin; i < std::min(rows, begin + kBlock); i++)
      for (int64_t j = 0; j < columns; j++) part[j] += x[i * stride + j];
    for (int64_t j = 0; j < columns; j++) total[j] += double(part[j]);
  }
}

// Few strips of long columns (a bias gradient): the rows are cut into kParts parts, added in order.
static void sum_long_columns(const reduce_sum_args& p, Pool& pool) {
  const int64_t size = (p.axis + kParts - 1) / kParts;
  for (int64_t o = 0; o < p.outer; o++)
    for (int64_t j = 0; j < p.inner; j += kColumns) {
      const int64_t columns = std::min(kColumns, p.inner - j);
      double part[kParts][kColumns];
      pool.run(kParts, [&](int64_t k) {
        const int64_t begin = std::min(p.axis, k * size), end = std::min(p.axis, begin + size);
        sum_columns(p.x + (o * p.axis + begin) * p.inner + j, end - begin, p.inner, columns, part[k]);
      });
      for (int64_t i = 0; i < columns; i++) {
        double total = 0;
        for (int64_t k = 0; k < kParts; k++) total += part[k][i];
        p.y[o * p.inner + j + i] = float(total);
      }
    }
}

void reduce_sum(const reduce_sum_args& p, Pool& pool) {
  if (p.inner == 1) {
    if (p.outer == 1) {  // one long sum: fixed chunks, added in order
      constexpr int64_t kChunks = 64;
      double part[kChunks] = {};
      int64_t size = (p.axis + kChunks - 1) / kChunks;
      pool.run(p.axis > 1 << 14 ? kChunks : 1, [&](int64_t c) {
        if (p.axis <= 1 << 14) part[0] = sum_row(p.x, p.axis);
        else if (c * size < p.axis) part[c] = sum_row(p.x + c * size, std::min(size, p.axis - c * size));
      });
      double total = 0;
      for (double s : part) total += s;
      p.y[0] = float(total);
      return;
    }
    return pool.split(p.outer, (1 << 14) / (p.axis + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; o++) p.y[o] = float(sum_row(p.x + o * p.axis, p.axis));
    });
  }
  int64_t blocks = (p.inner + kColumns - 1) / kColumns;
  if (p.outer * blocks < kParts && p.axis >= kParts * kBlock) return sum_long_columns(p, pool);
  pool.split(p.outer * blocks, (1 << 14) / (p.axis * std::min(p.inner, kColumns) + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      int64_t o = c / blocks, j = c % blocks * kColumns, columns = std::min(kColumns, p.inner - j);
      double total[kColumns];
      sum_columns(p.x + o * p.axis * p.inner + j, p.axis, p.inner, columns, total);
      for (int64_t i = 0; i < columns; i++) p.y[o * p.inner + j + i] = float(total[i]);
    }
  });
}

void reduce_max(const reduce_max_args& p, Pool& pool) {
  pool.split(p.outer * p.inner, (1 << 14) / (p.axis + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++) {
      const float* x = p.x + k / p.inner * p.axis * p.inner + k % p.inner;
      float best = x[0];
      int64_t at = 0;
      for (int64_t i = 1; i < p.axis && best == best; i++) {
        float v = x[i * p.inner];
        if (v > best || v != v) best = v, at = i;
      }
      p.y[k] = best, p.index[k] = int32_t(at);
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
