// Batch normalisation of rows [rows, c]. Statistics: chunks of rows, each with sums around its own mean (neither a large
// mean nor an outlier then costs digits), merged in order by Chan's formula in f64. Strips of columns are cut into parts by
// rows; where both end depends on the shape alone. Strips are wide, for memory gives neighbours quickest, and a chunk is fetched while the one before
// is summed from the cache.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include "ending.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kChunk = 1 << 14, kLeastRows = 16, kColumns = 512, kParts = 16, kStrips = 4;

// Calls f(first column, columns) for every strip: many of them side by side, few one after the other, whose rows f cuts.
template <class F> static void over_strips(int64_t c, Pool& pool, const F& f) {
  const int64_t strips = (c + kColumns - 1) / kColumns;
  const auto strip = [&](int64_t i) { f(i * kColumns, std::min(kColumns, c - i * kColumns)); };
  if (strips >= kStrips) pool.run(strips, strip);  // one handoff instead of one a strip
  else
    for (int64_t i = 0; i < strips; i++) strip(i);
}

// At most kParts parts of whole chunks, which have about kChunk numbers.
struct Parts {
  int64_t rows, chunk, size, count;
  Parts(int64_t rows, int64_t c)
      : rows(rows), chunk(std::max(kLeastRows, kChunk / std::min(c, kColumns))), size(((rows + kParts - 1) / kParts + chunk - 1) / chunk * chunk),
        count((rows + size - 1) / size) {}
  int64_t begin(int64_t part) const { return part * size; }
  int64_t end(int64_t part) const { return std::min(rows, (part + 1) * size); }
};

struct Moments {
  int64_t count = 0;
  double mean[kColumns] = {}, m2[kColumns] = {};

  void merge(int64_t n, const double* other_mean, const double* other_m2, int64_t columns) {
    const double share = double(n) / double(count + n), weight = double(count) * share;
    for (int64_t j = 0; j < columns; j++) {
      const double delta = other_mean[j] - mean[j];
      mean[j] += delta * share;
      m2[j] += other_m2[j] + delta * delta * weight;
    }
    count += n;
  }
};

// One vector of a row, of which `lanes` exist; Whole: all of them.
template <bool Whole> static inline Vec get(const float* p, int64_t lanes) {
  if constexpr (Whole) return load(p);
  Vec v = {};
  for (int64_t l = 0; l < lanes; l++) v[l] = p[l];
  return v;
}

template <bool Whole> static inline void put(float* p, Vec v, int64_t lanes) {
  if constexpr (Whole) return store(p, v);
  for (int64_t l = 0; l < lanes; l++) p[l] = v[l];
}

// Calls f(first column, integral constant V, Whole, lanes) for groups of V vectors that cover the columns.
template <int V> struct Width { static constexpr int value = V; };
template <class F> static inline void over_vectors(int64_t columns, const F& f) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= columns; j += 4 * kLanes) f(j, Width<4>(), std::true_type(), int64_t(kLanes));
  if (j + 2 * kLanes <= columns) f(j, Width<2>(), std::true_type(), int64_t(kLanes)), j += 2 * kLanes;
  if (j + kLanes <= columns) f(j, Width<1>(), std::true_type(), int64_t(kLanes)), j += kLanes;
  if (j < columns) f(j, Width<1>(), std::false_type(), columns - j);
}

// The moments of a chunk of n rows: their mean in f32 first, then sums around it, which also correct it. Fetches what lies n rows on.
static void add_chunk(Moments& all, const float* x0, int64_t n, int64_t stride, int64_t columns) {
  double mean[kColumns], m2[kColumns];
  over_vectors(columns, [&](int64_t j, auto width, auto whole, int64_t lanes) {
    constexpr int V = decltype(width)::value, R = V == 4 ? 1 : V == 2 ? 2 : 4;  // R rows side by side hide the additions' latency
    constexpr bool W = decltype(whole)::value;
    const float* x = x0 + j;
    Vec sum[R][V] = {}, rest[R][V] = {}, square[R][V] = {}, centre[V];
    int64_t i = 0;
    for (; i + R <= n; i += R)
      for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sum[r][v] += get<W>(x + (i + r) * stride + v * kLanes, lanes);
    for (; i < n; i++)
      for (int v = 0; v < V; v++) sum[0][v] += get<W>(x + i * stride + v * kLanes, lanes);
    for (int v = 0; v < V; v++) {
      for (int r = 1; r < R; r++) sum[0][v] += sum[r][v];
      centre[v] = sum[0][v] / float(n);
    }
    const auto around = [&](int64_t row, int r) {
      for (int v = 0; v < V; v++) {
        __builtin_prefetch(x + (row + n) * stride + v * kLanes, 0, 2);
        const Vec d = get<W>(x + row * stride + v * kLanes, lanes) - centre[v];
        rest[r][v] += d, square[r][v] += d * d;
      }
    };
    for (i = 0; i + R <= n; i += R)
      for (int r = 0; r < R; r++) around(i + r, r);
    for (; i < n; i++) around(i, 0);
    for (int v = 0; v < V; v++) {
      for (int r = 1; r < R; r++) rest[0][v] += rest[r][v], square[0][v] += square[r][v];
      for (int64_t l = 0; l < (W ? kLanes : lanes); l++) {
        const int64_t k = j + v * kLanes + l;
        const double shift = double(rest[0][v][l]) / double(n), left = double(square[0][v][l]) - double(rest[0][v][l]) * shift;
        mean[k] = double(centre[v][l]) + shift;
        m2[k] = left < 0 ? 0 : left;  // NaN passes through
      }
    }
  });
  all.merge(n, mean, m2, columns);
}

static constexpr int64_t kMostFolded = 64;

// Narrow rows are read several at a time, as one row whose columns repeat: [rows, c] as [rows / fold, c fold].
static int64_t fold_of(int64_t rows, int64_t c) {
  int64_t fold = 1;
  while (c * fold % kLanes != 0) fold *= 2;  // kLanes is a power of two
  return rows % fold == 0 && c * fold <= kMostFolded ? fold : 1;
}

void batch_norm_stats(const batch_norm_stats_args& p, Pool& pool) {
  const int64_t fold = fold_of(p.rows, p.c), c = p.c * fold, rows = p.rows / fold;
  const Parts parts(rows, c);
  over_strips(c, pool, [&](int64_t j0, int64_t columns) {
    Moments part[kParts], all;
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t i = parts.begin(k); i < parts.end(k); i += parts.chunk)
        add_chunk(part[k], p.x + i * c + j0, std::min(parts.chunk, parts.end(k) - i), c, columns);
    });
    for (int64_t k = 0; k < parts.count; k++) all.merge(part[k].count, part[k].mean, part[k].m2, columns);
    const int64_t real = columns / fold;  // columns that stand for one
    for (int64_t j = 0; j < real; j++) {
      double mean = all.mean[j], m2 = all.m2[j];
      for (int64_t f = 1; f < fold; f++) {
        const double delta = all.mean[j + f * real] - mean, share = 1 / double(f + 1);
        mean += delta * share;
        m2 += all.m2[j + f * real] + delta * delta * (double(f) * share * double(rows));
      }
      p.mean[j0 + j] = float(mean), p.variance[j0 + j] = float(m2 / double(p.rows));
    }
  });
}

// Two kernels as one: what that is (fuse.ts). Nothing would be gained here, where y is in a cache.
template <class Plain, class Args> static void with_stats(void (&convolve)(const Plain&, Pool&), const Args& p, Pool& pool) {
  convolve(without_stats<Plain>(p), pool);
  batch_norm_stats({.x = p.y, .mean = p.mean, .variance = p.variance, .rows = p.n * p.oh * p.ow, .c = p.oc, .stored = 0}, pool);
}
void conv2d_stats(const conv2d_stats_args& p, Pool& pool) { with_stats(conv2d, p, pool); }
void winograd_stats(const winograd_stats_args& p, Pool& pool) { with_stats(winograd, p, pool); }
void winograd_up_stats(const winograd_up_stats_args& p, Pool& pool) { with_stats(winograd_up, p, pool); }

// dz from dy, where z is what the activation was applied to.
template <int A> static inline Vec passed(Vec z, Vec dy, Vec slope) {
  if constexpr (A == kRelu) return z > 0 ? dy : Vec{};
  if constexpr (A == kLeaky) return z > 0 ? dy : slope * dy;
  return dy;
}

// z = (x - mean) scale + bias, of one strip of columns, repeated where rows are folded.
struct Affine {
  alignas(64) float mean[kColumns] = {}, scale[kColumns] = {}, bias[kColumns] = {}, inverse[kColumns] = {};

  Affine(const float* m, const float* variance, const float* weight, const float* b, float eps, int64_t c, int64_t j0, int64_t columns) {
    for (int64_t j = 0; j < columns; j++) {
      const int64_t k = (j0 + j) % c;
      const double root = std::sqrt(double(variance[k]) + eps);
      mean[j] = m[k], scale[j] = float(weight[k] / root), bias[j] = b[k], inverse[j] = float(1 / root);
    }
  }
  Vec operator()(int64_t j, Vec x) const { return (x - load(mean + j)) * load(scale + j) + load(bias + j); }
};

template <int A> static void apply(const batch_norm_apply_args& p, Pool& pool) {
  const int64_t fold = fold_of(p.rows, p.c), c = p.c * fold;
  pool.split(p.rows / fold, 4 * kChunk / c + 1, [&](int64_t begin, int64_t end) {
    const Vec slope = splat(p.slope);
    for (int64_t j0 = 0; j0 < c; j0 += kColumns) {
      const int64_t columns = std::min(kColumns, c - j0);
      const Affine z(p.mean, p.variance, p.weight, p.bias, p.eps, p.c, j0, columns);
      for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * c + j0;
        const auto one = [&](int64_t j, auto whole, int64_t lanes) {
          constexpr bool W = decltype(whole)::value;
          Vec v = z(j, get<W>(p.x + at + j, lanes));
          if (p.residual) v += get<W>(p.residual + at + j, lanes);
          put<W>(p.y + at + j, activated<A>(v, slope), lanes);
        };
        int64_t j = 0;
        for (; j + kLanes <= columns; j += kLanes) one(j, std::true_type(), kLanes);
        if (j < columns) one(j, std::false_type(), columns - j);
      }
    }
  });
}

void batch_norm_apply(const batch_norm_apply_args& p, Pool& pool) {
  p.activation == kRelu ? apply<kRelu>(p, pool) : p.activation == kLeaky ? apply<kLeaky>(p, pool) : apply<kNone>(p, pool);
}

// dx = w/s (dz - mean(dz) - xhat mean(dz xhat)), s = sqrt(var + eps); dweight = sum dz xhat, dbias = sum dz; dz is dy behind the
// activation, whose operand is computed again rather than read.
template <int A> static void grad(const batch_norm_grad_args& p, Pool& pool) {
  const int64_t fold = fold_of(p.rows, p.c), c = p.c * fold, rows = p.rows / fold;
  const Parts parts(rows, c);
  const Vec slope = splat(p.slope);
  over_strips(c, pool, [&](int64_t j0, int64_t columns) {
    const Affine z(p.mean, p.variance, p.weight, p.bias, p.eps, p.c, j0, columns);
    double sums[kParts][kColumns] = {}, products[kParts][kColumns] = {};
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t begin = parts.begin(k); begin < parts.end(k); begin += parts.chunk) {
        const int64_t n = std::min(parts.end(k), begin + parts.chunk) - begin;
        over_vectors(columns, [&](int64_t j, auto width, auto whole, int64_t lanes) {
          constexpr int V = decltype(width)::value, R = V == 4 ? 1 : V == 2 ? 2 : 4;
          constexpr bool W = decltype(whole)::value;
          Vec s[R][V] = {}, q[R][V] = {};
          const auto row = [&](int64_t i, int r) {
            for (int v = 0; v < V; v++) {
              const int64_t at = (begin + i) * c + j0 + j + v * kLanes;
              __builtin_prefetch(p.x + at + n * c, 0, 2), __builtin_prefetch(p.dy + at + n * c, 0, 2);
              const Vec x = get<W>(p.x + at, lanes), dz = passed<A>(z(j + v * kLanes, x), get<W>(p.dy + at, lanes), slope);
              s[r][v] += dz, q[r][v] += dz * (x - load(z.mean + j + v * kLanes));
            }
          };
          int64_t i = 0;
          for (; i + R <= n; i += R)
            for (int r = 0; r < R; r++) row(i + r, r);
          for (; i < n; i++) row(i, 0);
          for (int v = 0; v < V; v++) {
            for (int r = 1; r < R; r++) s[0][v] += s[r][v], q[0][v] += q[r][v];
            for (int64_t l = 0; l < (W ? kLanes : lanes); l++) {
              const int64_t at = j + v * kLanes + l;
              sums[k][at] += double(s[0][v][l]), products[k][at] += double(q[0][v][l]) * double(z.inverse[at]);
            }
          }
        });
      }
    });
    alignas(64) float a[kColumns] = {}, b[kColumns] = {};
    const int64_t real = columns / fold;
    for (int64_t j = 0; j < real; j++) {
      double sum = 0, product = 0;
      for (int64_t k = 0; k < parts.count; k++)
        for (int64_t f = 0; f < fold; f++) sum += sums[k][j + f * real], product += products[k][j + f * real];
      p.dweight[j0 + j] = float(product), p.dbias[j0 + j] = float(sum);
      for (int64_t f = 0; f < fold; f++) {
        a[j + f * real] = float(sum / double(p.rows));
        b[j + f * real] = float(product / double(p.rows)) * z.inverse[j];
      }
    }
    pool.run(parts.count, [&](int64_t k) {
      for (int64_t i = parts.begin(k); i < parts.end(k); i++) {
        const auto one = [&](int64_t j, auto whole, int64_t lanes) {
          constexpr bool W = decltype(whole)::value;
          const int64_t at = i * c + j0 + j;
          const Vec x = get<W>(p.x + at, lanes), dz = passed<A>(z(j, x), get<W>(p.dy + at, lanes), slope);
          put<W>(p.dx + at, load(z.scale + j) * (dz - load(a + j) - (x - load(z.mean + j)) * load(b + j)), lanes);
        };
        int64_t j = 0;
        for (; j + kLanes <= columns; j += kLanes) one(j, std::true_type(), kLanes);
        if (j < columns) one(j, std::false_type(), columns - j);
      }
    });
  });
}

void batch_norm_grad(const batch_norm_grad_args& p, Pool& pool) {
  p.activation == kRelu ? grad<kRelu>(p, pool) : p.activation == kLeaky ? grad<kLeaky>(p, pool) : grad<kNone>(p, pool);
}

void lerp(const lerp_args& p, Pool& pool) {
  pool.split(p.size, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.v[i] += p.t * (p.scale * p.x[i] - p.v[i]);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
