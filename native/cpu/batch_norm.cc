// Batch normalisation of rows [rows, c]. Statistics: chunks of kRows rows, each with sums around its own first row (so that
// a large mean costs no digits), merged in order by Chan's formula in f64.
#include <algorithm>
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kRows = 256, kColumns = 64;

struct Moments { double mean[kColumns], m2[kColumns]; };

static void merge(Moments& all, int64_t count, const float* first, const float* sum, const float* square, int64_t n, int64_t columns) {
  for (int64_t j = 0; j < columns; j++) {
    double mean = first[j] + double(sum[j]) / n, m2 = double(square[j]) - double(sum[j]) * sum[j] / n;
    double delta = mean - all.mean[j];
    all.mean[j] += delta * n / (count + n);
    all.m2[j] += std::max(m2, 0.0) + delta * delta * count * n / (count + n);
    if (m2 != m2) all.m2[j] = m2;  // max() would hide a NaN
  }
}

void batch_norm_stats(const batch_norm_stats_args& p, Pool& pool) {
  pool.run((p.c + kColumns - 1) / kColumns, [&](int64_t block) {
    const int64_t j0 = block * kColumns, columns = std::min(kColumns, p.c - j0);
    Moments all{};
    for (int64_t begin = 0; begin < p.rows; begin += kRows) {
      int64_t end = std::min(p.rows, begin + kRows);
      const float* first = p.x + begin * p.c + j0;
      float sum[kColumns] = {}, square[kColumns] = {};
      for (int64_t i = begin; i < end; i++) {
        const float* x = p.x + i * p.c + j0;
        for (int64_t j = 0; j < columns; j++) {
          float d = x[j] - first[j];
          sum[j] += d, square[j] += d * d;
        }
      }
      merge(all, begin, first, sum, square, end - begin, columns);
    }
    for (int64_t j = 0; j < columns; j++) p.mean[j0 + j] = float(all.mean[j]), p.variance[j0 + j] = float(all.m2[j] / p.rows);
  });
}

void batch_norm_apply(const batch_norm_apply_args& p, Pool& pool) {
  pool.split(p.rows, (1 << 14) / p.c + 1, [&](int64_t begin, int64_t end) {
    for (int64_t j0 = 0; j0 < p.c; j0 += kColumns) {
      int64_t columns = std::min(kColumns, p.c - j0);
      float scale[kColumns], shift[kColumns];
      for (int64_t j = 0; j < columns; j++) {
        double s = p.weight[j0 + j] / std::sqrt(double(p.variance[j0 + j]) + p.eps);
        scale[j] = float(s), shift[j] = p.mean[j0 + j];
      }
      for (int64_t i = begin; i < end; i++) {
        const float *x = p.x + i * p.c + j0, *bias = p.bias + j0;
        float* __restrict y = p.y + i * p.c + j0;
        for (int64_t j = 0; j < columns; j++) y[j] = (x[j] - shift[j]) * scale[j] + bias[j];
      }
    }
  });
}

// dx = w/s (dy - mean(dy) - xhat mean(dy xhat)), s = sqrt(var + eps); dweight = sum dy xhat, dbias = sum dy.
void batch_norm_grad(const batch_norm_grad_args& p, Pool& pool) {
  pool.run((p.c + kColumns - 1) / kColumns, [&](int64_t block) {
    const int64_t j0 = block * kColumns, columns = std::min(kColumns, p.c - j0);
    float mean[kColumns], inverse[kColumns];
    double sum[kColumns] = {}, product[kColumns] = {};
    for (int64_t j = 0; j < columns; j++) mean[j] = p.mean[j0 + j], inverse[j] = float(1 / std::sqrt(double(p.variance[j0 + j]) + p.eps));
    for (int64_t begin = 0; begin < p.rows; begin += kRows) {
      float s[kColumns] = {}, q[kColumns] = {};
      for (int64_t i = begin; i < std::min(p.rows, begin + kRows); i++) {
        const float *x = p.x + i * p.c + j0, *dy = p.dy + i * p.c + j0;
        for (int64_t j = 0; j < columns; j++) s[j] += dy[j], q[j] += dy[j] * ((x[j] - mean[j]) * inverse[j]);
      }
      for (int64_t j = 0; j < columns; j++) sum[j] += s[j], product[j] += q[j];
    }
    float scale[kColumns], a[kColumns], b[kColumns];
    for (int64_t j = 0; j < columns; j++) {
      p.dweight[j0 + j] = float(product[j]), p.dbias[j0 + j] = float(sum[j]);
      scale[j] = p.weight[j0 + j] * inverse[j], a[j] = float(sum[j] / p.rows), b[j] = float(product[j] / p.rows) * inverse[j];
    }
    for (int64_t i = 0; i < p.rows; i++) {
      const float *x = p.x + i * p.c + j0, *dy = p.dy + i * p.c + j0;
      float* __restrict dx = p.dx + i * p.c + j0;
      for (int64_t j = 0; j < columns; j++) dx[j] = scale[j] * (dy[j] - a[j] - (x[j] - mean[j]) * b[j]);
    }
  });
}

void lerp(const lerp_args& p, Pool&) {
  for (int64_t i = 0; i < p.size; i++) p.v[i] += p.t * (p.scale * p.x[i] - p.v[i]);
}

}  // namespace rescunet::cpu::RESCUNET_ISA
