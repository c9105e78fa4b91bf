// Batch normalisation of rows [rows, c]. Statistics: chunks of kRows rows, each with sums around its own mean (neither a large
// mean nor an outlier then costs digits), merged in order by Chan's formula in f64. Strips of columns are cut into parts by
// rows; where both end depends on the shape alone.
#include <algorithm>
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kRows = 128, kColumns = 64, kParts = 16, kStrips = 4;

// Calls f(first column, columns) for every strip: many of them side by side, few one after the other, whose rows f cuts.
template <class F> static void over_strips(int64_t c, Pool& pool, const F& f) {
  const int64_t strips = (c + kColumns - 1) / kColumns;
  const auto strip = [&](int64_t i) { f(i * kColumns, std::min(kColumns, c - i * kColumns)); };
  if (strips >= kStrips) pool.run(strips, strip);  // one handoff instead of one a strip
  else
    for (int64_t i = 0; i < strips; i++) strip(i);
}

// At most kParts parts of whole chunks.
struct Parts {
  int64_t rows, size, count;
  explicit Parts(int64_t rows) : rows(rows), size(((rows + kParts - 1) / kParts + kRows - 1) / kRows * kRows), count((rows + size - 1) / size) {}
  int64_t begin(int64_t part) const { return part * size; }
  int64_t end(int64_t part) const { return std::min(rows, (part + 1) * size); }
};

struct Moments {
  int64_t count = 0;
  double mean[kColumns] = {}, m2[kColumns] = {};

  void merge(int64_t n, const double* other_mean, const double* other_m2) {
    const double share = double(n) / double(count + n), weight = double(count) * share;
    for (int64_t j = 0; j < kColumns; j++) {
      const double delta = other_mean[j] - mean[j];
      mean[j] += delta * share;
      m2[j] += other_m2[j] + delta * delta * weight;
    }
    count += n;
  }
};

// The moments of up to kRows rows: their mean in f32 first, then sums around it, which also correct it.
static void add_chunk(Moments& all, const float* x, int64_t n, int64_t stride, int64_t columns) {
  float sum[kColumns] = {}, centre[kColumns] = {}, rest[kColumns] = {}, square[kColumns] = {};
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < columns; j++) sum[j] += x[i * stride + j];
  for (int64_t j = 0; j < columns; j++) centre[j] = sum[j] / float(n);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < columns; j++) {
      const float d = x[i * stride + j] - centre[j];
      rest[j] += d, square[j] += d * d;
    }
  double mean[kColumns], m2[kColumns];
  for (int64_t j = 0; j < kColumns; j++) {
    const double shift = double(rest[j]) / double(n), around = double(square[j]) - double(rest[j]) * shift;
    mean[j] = double(centre[j]) + shift;
    m2[j] = around < 0 ? 0 : around;  // NaN passes through
  }
  all.merge(n, mean, m2);
}

void batch_norm_stats(const batch_norm_stats_args& p, Pool& pool) {
  const Parts parts(p.rows);
  over_strips(p.c, pool, [&](int64_t j0, int64_t columns) {
    Moments part[kParts], all;
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t i = parts.begin(k); i < parts.end(k); i += kRows)
        add_chunk(part[k], p.x + i * p.c + j0, std::min(kRows, parts.end(k) - i), p.c, columns);
    });
    for (int64_t k = 0; k < parts.count; k++) all.merge(part[k].count, part[k].mean, part[k].m2);
    for (int64_t j = 0; j < columns; j++) p.mean[j0 + j] = float(all.mean[j]), p.variance[j0 + j] = float(all.m2[j] / double(p.rows));
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
  const Parts parts(p.rows);
  over_strips(p.c, pool, [&](int64_t j0, int64_t columns) {
    float mean[kColumns], inverse[kColumns];
    for (int64_t j = 0; j < columns; j++) mean[j] = p.mean[j0 + j], inverse[j] = float(1 / std::sqrt(double(p.variance[j0 + j]) + p.eps));
    double sums[kParts][kColumns] = {}, products[kParts][kColumns] = {};
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t begin = parts.begin(k); begin < parts.end(k); begin += kRows) {
        float s[kColumns] = {}, q[kColumns] = {};
        for (int64_t i = begin; i < std::min(parts.end(k), begin + kRows); i++) {
          const float *x = p.x + i * p.c + j0, *dy = p.dy + i * p.c + j0;
          for (int64_t j = 0; j < columns; j++) s[j] += dy[j], q[j] += dy[j] * ((x[j] - mean[j]) * inverse[j]);
        }
        for (int64_t j = 0; j < columns; j++) sums[k][j] += double(s[j]), products[k][j] += double(q[j]);
      }
    });
    float scale[kColumns], a[kColumns], b[kColumns];
    for (int64_t j = 0; j < columns; j++) {
      double sum = 0, product = 0;
      for (int64_t k = 0; k < parts.count; k++) sum += sums[k][j], product += products[k][j];
      p.dweight[j0 + j] = float(product), p.dbias[j0 + j] = float(sum);
      scale[j] = p.weight[j0 + j] * inverse[j], a[j] = float(sum / double(p.rows)), b[j] = float(product / double(p.rows)) * inverse[j];
    }
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t i = parts.begin(k); i < parts.end(k); i++) {
        const float *x = p.x + i * p.c + j0, *dy = p.dy + i * p.c + j0;
        float* __restrict dx = p.dx + i * p.c + j0;
        for (int64_t j = 0; j < columns; j++) dx[j] = scale[j] * (dy[j] - a[j] - (x[j] - mean[j]) * b[j]);
      }
    });
  });
}

void lerp(const lerp_args& p, Pool& pool) {
  pool.split(p.size, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.v[i] += p.t * (p.scale * p.x[i] - p.v[i]);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
