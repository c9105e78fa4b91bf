// Batch normalisation of rows [rows, c]. Statistics: moments.h.
#include "moments.h"

namespace rescunet::cuda {
namespace {

constexpr int kMap = 256, kChunk = Moments::kChunk, kRows = Cut::kRows;
constexpr int64_t kMerged = 64, kFew = 512;  // up to so many parts are merged at once

template <class T> struct Rows {
  const T* x;
  int64_t c;
  __device__ float operator()(int64_t row, int64_t column) const { return number(x[row * c + column]); }
};

// merged [groups, c], each of kMerged parts
__global__ void merge_parts(const Moments* partial, Moments* merged, int64_t c, int64_t parts) {
  const int64_t j = thread_number(), first = blockIdx.y * kMerged;
  if (j >= c) return;
  Moments all;
  for (int64_t k = first; k < first + kMerged && k < parts; k++) all.merge(partial[k * c + j]);
  merged[blockIdx.y * c + j] = all;
}

__global__ void finish_moments(const Moments* partial, float* mean, float* variance, int64_t c, int64_t parts) {
  const int64_t j = thread_number();
  if (j >= c) return;
  Moments all;
  for (int64_t k = 0; k < parts; k++) all.merge(partial[k * c + j]);
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

template <class T> __global__ void __launch_bounds__(Cut::kBlock) part_gradients(batch_norm_grad_args p, GradientSums* partial, int64_t part) {
  SHARED(GradientSums[kRows][Cut::kColumns], all);
  const CutPlace at(p.rows, part);
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

}  // namespace

Moments* room_for_moments(Queue& queue, int64_t parts, int64_t c) {
  return queue.workspace<Moments>((parts + ceil_divide(parts, kMerged)) * c, Queue::kMoments);
}

void merge_moments(Queue& queue, Moments* partial, int64_t parts, int64_t c, float* mean, float* variance) {
  const unsigned across = unsigned(ceil_divide(c, kMap)), groups = unsigned(ceil_divide(parts, kMerged));
  if (parts <= kFew) return launch<finish_moments>(queue, {across, kMap}, partial, mean, variance, c, parts);
  Moments* merged = partial + parts * c;
  launch<merge_parts>(queue, {dim3(across, groups), kMap}, partial, merged, c, parts);
  launch<finish_moments>(queue, {across, kMap}, merged, mean, variance, c, groups);
}

void batch_norm_stats(const batch_norm_stats_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    moments_of(queue, Rows<T>{as<T>(p.x), p.c}, p.rows, p.c, p.mean, p.variance);
  });
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
