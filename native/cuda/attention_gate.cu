// The attention gate behind its two products, in few launches. Nothing of [n, h, w, f] is kept: what psi takes is computed again wherever it is needed.
// A warp takes a pixel where channels are summed; a block a part of the pixels where pixels are; parts are added in order, in f64.
#include "../scalar.h"
#include "stored.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kWarps = kBlock / 32, kColumns = 32;
constexpr int64_t kParts = 64;

// A channel of both branches: z = norm(px) + norm(pg), with the centred values that it is made of.
template <class Args> struct Channel {
  float mean_x, mean_g, scale_x, scale_g, bias;
  __device__ Channel(const Args& p, int64_t j)
      : mean_x(p.mean_x[j]), mean_g(p.mean_g[j]), scale_x(p.weight_x[j] / std::sqrt(p.variance_x[j] + p.eps_x)), scale_g(p.weight_g[j] / std::sqrt(p.variance_g[j] + p.eps_g)),
        bias(p.bias_x[j] + p.bias_g[j]) {}
  __device__ float z(float x, float g) const { return x * scale_x + (g * scale_g + bias); }
};

// The pixel of pg that a pixel meets.
template <class Args> __device__ int64_t small_of(const Args& p, int64_t pixel) {
  return p.half ? pixel / p.w / 2 * (p.w / 2) + pixel % p.w / 2 : pixel;
}

template <class T> __global__ void __launch_bounds__(kBlock) project(attention_gate_args p) {
  const int lane = threadIdx.x % 32;
  for (int64_t i = thread_number() / 32; i < p.n * p.h * p.w; i += grid_threads() / 32) {
    const int64_t small = small_of(p, i);
    float sum = 0;
#pragma unroll 1  // else registers spill
    for (int64_t j = lane; j < p.f; j += 32) {
      const Channel<attention_gate_args> c(p, j);
      const float z = c.z(number(as<T>(p.px)[i * p.f + j]) - c.mean_x, number(as<T>(p.pg)[small * p.f + j]) - c.mean_g);
      sum += (z < 0 ? 0 : z) * p.psi[j];
    }
    sum = warp_sum(sum);
    if (lane == 0) p.p[i] = sum + (p.bias ? *p.bias : 0.f);
  }
}

// Mean and biased variance of p, by one block: a number for every pixel is little.
__global__ void __launch_bounds__(kBlock) moments(attention_gate_args p) {
  const int64_t rows = p.n * p.h * p.w;
  double sum = 0, square = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kBlock) sum += double(p.p[i]);
  const double mean = block_sum<kBlock>(sum) / double(rows);
  for (int64_t i = threadIdx.x; i < rows; i += kBlock) square += (double(p.p[i]) - mean) * (double(p.p[i]) - mean);
  const double variance = block_sum<kBlock>(square) / double(rows);
  if (threadIdx.x == 0) *p.mean_p = float(mean), *p.variance_p = float(variance);
}

template <class T> __global__ void open(attention_gate_args p) {
  const float scale = *p.weight_p / std::sqrt(*p.variance_p + p.eps_p);
  for (int64_t i = thread_number(); i < p.n * p.h * p.w * p.c; i += grid_threads()) {
    const int64_t pixel = i / p.c;
    const float map = 1 / (1 + scalar::exponential(-((p.p[pixel] - *p.mean_p) * scale + *p.bias_p)));
    if (i % p.c == 0) p.map[pixel] = map;
    put(as<T>(p.y)[i], number(as<T>(p.x)[i]) * map);
  }
}

// dx, and what comes to the result of psi's norm.
template <class T> __global__ void __launch_bounds__(kBlock) along_channels(attention_gate_grad_args p, float* dp) {
  const int lane = threadIdx.x % 32;
  for (int64_t i = thread_number() / 32; i < p.n * p.h * p.w; i += grid_threads() / 32) {
    const float map = p.map[i];
    float sum = 0;
    for (int64_t j = i * p.c + lane; j < (i + 1) * p.c; j += 32) {
      const float dy = number(as<T>(p.dy)[j]);
      sum += dy * number(as<T>(p.x)[j]), put(as<T>(p.dx)[j], dy * map);
    }
    sum = warp_sum(sum);
    if (lane == 0) dp[i] = sum * map * (1 - map);
  }
}

// Psi's norm backwards, by one block: dp becomes that of p.
__global__ void __launch_bounds__(kBlock) through_norm(attention_gate_grad_args p, float* dp) {
  const int64_t rows = p.n * p.h * p.w;
  const double inverse = 1 / std::sqrt(double(*p.variance_p) + double(p.eps_p));
  double sum = 0, product = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kBlock) sum += double(dp[i]), product += double(dp[i]) * (double(p.p[i]) - double(*p.mean_p)) * inverse;
  sum = block_sum<kBlock>(sum), product = block_sum<kBlock>(product);
  if (threadIdx.x == 0) *p.dbias_p = float(sum), *p.dweight_p = float(product);
  const float scale = float(double(*p.weight_p) * inverse), centre = float(sum / double(rows)), slope = float(product / double(rows) * inverse);
  for (int64_t i = threadIdx.x; i < rows; i += kBlock) dp[i] = scale * (dp[i] - centre - (p.p[i] - *p.mean_p) * slope);
}

// Per channel: of dz, dz (px - mean), dz (pg - mean) and dp relu(z).
struct ChannelSums { double all, x, g, psi; };

template <class T> __global__ void __launch_bounds__(kBlock) part_sums(attention_gate_grad_args p, const float* dp, ChannelSums* partial) {
  SHARED(ChannelSums[kWarps][kColumns], parts);
  const int column = threadIdx.x % kColumns, row = threadIdx.x / kColumns;
  const int64_t j = int64_t(blockIdx.x) * kColumns + column, rows = p.n * p.h * p.w;
  ChannelSums mine{0, 0, 0, 0};
  if (j < p.f) {
    const Channel<attention_gate_grad_args> c(p, j);
    for (int64_t i = int64_t(blockIdx.y) * kWarps + row; i < rows; i += kParts * kWarps) {
      const float x = number(as<T>(p.px)[i * p.f + j]) - c.mean_x, g = number(as<T>(p.pg)[small_of(p, i) * p.f + j]) - c.mean_g, z = c.z(x, g), dz = z > 0 ? dp[i] * p.psi[j] : 0.f;
      mine.all += double(dz), mine.x += double(dz * x), mine.g += double(dz * g), mine.psi += double(dp[i] * (z < 0 ? 0 : z));
    }
  }
  parts[row][column] = mine;
  __syncthreads();
  if (row || j >= p.f) return;
  for (int r = 1; r < kWarps; r++) mine.all += parts[r][column].all, mine.x += parts[r][column].x, mine.g += parts[r][column].g, mine.psi += parts[r][column].psi;
  partial[blockIdx.y * p.f + j] = mine;
}

// The sums become means, at partial[0].
__global__ void finish_sums(attention_gate_grad_args p, ChannelSums* partial) {
  const int64_t j = thread_number();
  if (j >= p.f) return;
  ChannelSums s{0, 0, 0, 0};
  for (int64_t k = 0; k < kParts; k++) {
    const ChannelSums& part = partial[k * p.f + j];
    s.all += part.all, s.x += part.x, s.g += part.g, s.psi += part.psi;
  }
  const double rows = double(p.n * p.h * p.w), square_x = double(p.variance_x[j]) + double(p.eps_x), square_g = double(p.variance_g[j]) + double(p.eps_g);
  p.dbias[j] = float(s.all), p.dweight_x[j] = float(s.x / std::sqrt(square_x)), p.dweight_g[j] = float(s.g / std::sqrt(square_g)), p.dpsi[j] = float(s.psi);
  partial[j] = {s.all / rows, s.x / rows / square_x, s.g / rows / square_g, 0};
}

// dpx of a small pixel's children, and dpg.
template <class T> __global__ void to_products(attention_gate_grad_args p, const float* dp, const ChannelSums* means) {
  const int64_t step = p.half ? 2 : 1, across = p.w / step;
  for (int64_t i = thread_number(); i < p.n * p.h * p.w / (step * step) * p.f; i += grid_threads()) {
    const int64_t j = i % p.f, small = i / p.f;
    const Channel<attention_gate_grad_args> c(p, j);
    const float g = number(as<T>(p.pg)[i]) - c.mean_g, mean = float(means[j].all), along_x = float(means[j].x), along_g = float(means[j].g);
    float all = 0;
    for (int64_t k = 0; k < step * step; k++) {
      const int64_t pixel = (small / across * step + k / step) * p.w + small % across * step + k % step;
      const float x = number(as<T>(p.px)[pixel * p.f + j]) - c.mean_x, dz = c.z(x, g) > 0 ? dp[pixel] * p.psi[j] : 0.f;
      all += dz;
      put(as<T>(p.dpx)[pixel * p.f + j], c.scale_x * (dz - mean - x * along_x));
    }
    put(as<T>(p.dpg)[i], c.scale_g * (all - float(step * step) * (mean + g * along_g)));
  }
}

}  // namespace

void attention_gate(const attention_gate_args& p, Queue& queue) {
  const int64_t rows = p.n * p.h * p.w;
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    launch<project<T>>(queue, {grid_for(rows * 32, kBlock), kBlock}, p);
    launch<moments>(queue, {dim3(1), kBlock}, p);
    launch<open<T>>(queue, {grid_for(rows * p.c, kBlock), kBlock}, p);
  });
}

void attention_gate_grad(const attention_gate_grad_args& p, Queue& queue) {
  const int64_t rows = p.n * p.h * p.w;
  auto* partial = queue.workspace<ChannelSums>(kParts * p.f);
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    launch<along_channels<T>>(queue, {grid_for(rows * 32, kBlock), kBlock}, p, p.scratch);
    launch<through_norm>(queue, {dim3(1), kBlock}, p, p.scratch);
    launch<part_sums<T>>(queue, {dim3(unsigned(ceil_divide(p.f, kColumns)), unsigned(kParts)), kBlock}, p, p.scratch, partial);
    launch<finish_sums>(queue, {grid_for(p.f, kBlock), kBlock}, p, partial);
    launch<to_products<T>>(queue, {grid_for(rows * p.f, kBlock), kBlock}, p, p.scratch, partial);
  });
}

}  // namespace rescunet::cuda
