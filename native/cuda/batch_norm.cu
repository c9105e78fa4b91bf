// Batch normalisation of rows [rows, c]. Statistics: every thread takes chunks of kChunk rows, each with sums around its own mean
// (neither a large mean nor an outlier then costs digits), merged by Chan's formula in f64, first down the block, then over
// the parts into which the rows are cut. The cuts depend on the shape alone.
#include "ending.h"
#include "stored.h"

namespace rescunet::cuda {
namespace {

constexpr int kColumns = 32, kRows = 8, kBlock = kColumns * kRows, kChunk = 16, kMap = 256;
constexpr int64_t kParts = 512;  // blocks wanted over all strips

struct Moments {
  double count = 0, mean = 0, m2 = 0;

  __device__ void merge(double n, double other_mean, double other_m2) {
    if (n == 0) return;
    const double delta = other_mean - mean, share = n / (count + n);
    mean += delta * share;
    m2 += other_m2 + delta * delta * count * share;
    count += n;
  }
};

// Rows [begin, end) of a part and the column of a thread.
struct Place {
  int column, row;
  int64_t j, begin, end;
  __device__ Place(int64_t rows, int64_t part)
      : column(threadIdx.x % kColumns), row(threadIdx.x / kColumns), j(int64_t(blockIdx.x) * kColumns + column), begin(blockIdx.y * part),
        end(begin + part < rows ? begin + part : rows) {}
};

// partial [parts, c]
template <class T> __global__ void __launch_bounds__(kBlock) part_moments(const T* x, Moments* partial, int64_t rows, int64_t c, int64_t part) {
  SHARED(Moments[kRows][kColumns], all);
  const Place p(rows, part);
  Moments mine;
  if (p.j < c)
    for (int64_t i = p.begin + p.row * kChunk; i < p.end; i += kRows * kChunk) {
      const int n = p.end - i < kChunk ? int(p.end - i) : kChunk;
      float v[kChunk], sum = 0, rest = 0, square = 0;
#pragma unroll
      for (int k = 0; k < kChunk; k++) sum += v[k] = k < n ? number(x[(i + k) * c + p.j]) : 0.f;
      const float centre = sum / float(n);
#pragma unroll
      for (int k = 0; k < kChunk; k++) {
        const float d = k < n ? v[k] - centre : 0.f;
        rest += d, square += d * d;
      }
      const double shift = double(rest) / n, around = double(square) - double(rest) * shift;
      mine.merge(n, double(centre) + shift, around < 0 ? 0 : around);  // NaN passes through
    }
  all[p.row][p.column] = mine;
  __syncthreads();
  if (p.row || p.j >= c) return;
  for (int r = 1; r < kRows; r++) mine.merge(all[r][p.column].count, all[r][p.column].mean, all[r][p.column].m2);
  partial[blockIdx.y * c + p.j] = mine;
}

__global__ void finish_moments(const Moments* partial, float* mean, float* variance, int64_t c, int64_t parts) {
  const int64_t j = thread_number();
  if (j >= c) return;
  Moments all;
  for (int64_t k = 0; k < parts; k++) all.merge(partial[k * c + j].count, partial[k * c + j].mean, partial[k * c + j].m2);
  mean[j] = float(all.mean), variance[j] = float(all.m2 / all.count);
}

__device__ inline float inverse_deviation(float variance, float eps) { return 1 / std::sqrt(variance + eps); }

// dz from dy, where z is what the activation was applied to.
__device__ inline float passed(float z, float dy, int64_t activation, float slope) {
  return activation == kNone || z > 0 ? dy : activation == kRelu ? 0 : slope * dy;
}

// Channel j's z = (x - mean) scale + bias: one expression for both directions, so that they agree on its sign.
struct Affine {
  float mean, scale, bias;
  template <class Args>
  __device__ Affine(const Args& p, int64_t j) : mean(p.mean[j]), scale(p.weight[j] * inverse_deviation(p.variance[j], p.eps)), bias(p.bias[j]) {}
  __device__ float operator()(float x) const { return (x - mean) * scale + bias; }
};

template <class T, int kCount> __global__ void apply(batch_norm_apply_args p) {
  for (int64_t i = kCount * thread_number(); i < p.rows * p.c; i += kCount * grid_threads()) {
    const int64_t j = i % p.c;
    float v[kCount], r[kCount] = {};
    read(as<T>(p.x) + i, v);
    if (p.residual) read(as<T>(p.residual) + i, r);
#pragma unroll
    for (int k = 0; k < kCount; k++) v[k] = activated(Affine(p, j + k)(v[k]) + r[k], p.activation, p.slope);
    write(as<T>(p.y) + i, v);
  }
}

struct GradientSums { double dz, product; };  // of dz, and of dz xhat

template <class T> __global__ void __launch_bounds__(kBlock) part_gradients(batch_norm_grad_args p, GradientSums* partial, int64_t part) {
  SHARED(GradientSums[kRows][kColumns], all);
  const Place at(p.rows, part);
  GradientSums mine{0, 0};
  if (at.j < p.c) {
    const Affine z(p, at.j);
    const float inverse = inverse_deviation(p.variance[at.j], p.eps);
    for (int64_t i = at.begin + at.row * kChunk; i < at.end; i += kRows * kChunk) {
      float sum = 0, product = 0;
#pragma unroll
      for (int k = 0; k < kChunk; k++)
        if (i + k < at.end) {
          const int64_t e = (i + k) * p.c + at.j;
          const float x = number(as<T>(p.x)[e]), dz = passed(z(x), number(as<T>(p.dy)[e]), p.activation, p.slope);
          sum += dz, product += dz * ((x - z.mean) * inverse);
        }
      mine.dz += double(sum), mine.product += double(product);
    }
  }
  all[at.row][at.column] = mine;
  __syncthreads();
  if (at.row || at.j >= p.c) return;
  for (int r = 1; r < kRows; r++) mine.dz += all[r][at.column].dz, mine.product += all[r][at.column].product;
  partial[blockIdx.y * p.c + at.j] = mine;
}

// Channel j's dx = scale (dz - mean_dz - slope (x - mean)).
struct Coefficients {
  Affine z;
  float mean_dz, slope;
  __device__ float operator()(float x, float dy, int64_t activation, float leak) const {
    return z.scale * (passed(z(x), dy, activation, leak) - mean_dz - slope * (x - z.mean));
  }
};

// dx = w/s (dz - mean(dz) - xhat mean(dz xhat)), s = sqrt(var + eps); dweight = sum dz xhat, dbias = sum dz; dz is dy behind the
// activation, whose operand is computed again rather than read.
__global__ void finish_gradients(batch_norm_grad_args p, const GradientSums* partial, Coefficients* of, int64_t parts) {
  const int64_t j = thread_number();
  if (j >= p.c) return;
  GradientSums all{0, 0};
  for (int64_t k = 0; k < parts; k++) all.dz += partial[k * p.c + j].dz, all.product += partial[k * p.c + j].product;
  p.dweight[j] = float(all.product), p.dbias[j] = float(all.dz);
  of[j] = {Affine(p, j), float(all.dz / double(p.rows)), float(all.product / double(p.rows)) * inverse_deviation(p.variance[j], p.eps)};
}

template <class T, int kCount> __global__ void apply_gradients(batch_norm_grad_args p, const Coefficients* of) {
  for (int64_t i = kCount * thread_number(); i < p.rows * p.c; i += kCount * grid_threads()) {
    const int64_t j = i % p.c;
    float x[kCount], dz[kCount];
    read(as<T>(p.x) + i, x), read(as<T>(p.dy) + i, dz);
#pragma unroll
    for (int k = 0; k < kCount; k++) dz[k] = of[j + k](x[k], dz[k], p.activation, p.slope);
    write(as<T>(p.dx) + i, dz);
  }
}

__global__ void interpolate_towards(lerp_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) p.v[i] += p.t * (p.scale * p.x[i] - p.v[i]);
}

// Strips of columns, and parts of rows.
struct Cut {
  int64_t strips, size, parts;
  Cut(int64_t rows, int64_t c) {
    strips = ceil_divide(c, kColumns);
    const int64_t chunk = kRows * kChunk, wanted = std::max<int64_t>(1, kParts / strips);
    size = ceil_divide(ceil_divide(rows, wanted), chunk) * chunk;
    parts = ceil_divide(rows, size);
  }
  Launch launch() const { return {dim3(unsigned(strips), unsigned(parts)), kBlock}; }
};

}  // namespace

void batch_norm_stats(const batch_norm_stats_args& p, Queue& queue) {
  const Cut cut(p.rows, p.c);
  auto* partial = queue.workspace<Moments>(cut.parts * p.c);
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    launch<part_moments<T>>(queue, cut.launch(), reinterpret_cast<const T*>(p.x), partial, p.rows, p.c, cut.size);
  });
  launch<finish_moments>(queue, {grid_for(p.c, kMap), kMap}, partial, p.mean, p.variance, p.c, cut.parts);
}

void batch_norm_apply(const batch_norm_apply_args& p, Queue& queue) {
  by_packs(p.stored, p.c, [&](auto type, auto count) {
    launch<apply<decltype(type), count>>(queue, {grid_for(p.rows * p.c / count, kMap), kMap}, p);
  }, p.x, p.y, p.residual);
}

void batch_norm_grad(const batch_norm_grad_args& p, Queue& queue) {
  const Cut cut(p.rows, p.c);
  auto* partial = queue.workspace<GradientSums>(cut.parts * p.c);
  auto* of = queue.workspace<Coefficients>(p.c, Queue::kOperands);
  by_packs(p.stored, p.c, [&](auto type, auto count) {
    using T = decltype(type);
    launch<part_gradients<T>>(queue, cut.launch(), p, partial, cut.size);
    launch<finish_gradients>(queue, {grid_for(p.c, kMap), kMap}, p, partial, of, cut.parts);
    launch<apply_gradients<T, count>>(queue, {grid_for(p.rows * p.c / count, kMap), kMap}, p, of);
  }, p.x, p.dy, p.dx);
}

void lerp(const lerp_args& p, Queue& queue) { launch<interpolate_towards>(queue, {grid_for(p.size, kMap), kMap}, p); }

}  // namespace rescunet::cuda
