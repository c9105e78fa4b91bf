// Sums and maxima along one axis of x [outer, axis, inner]. An axis is cut into parts whose size depends on the shape alone; sums
// are f32 within a thread's run of a part, f64 beyond.
#include "stored.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kColumns = 32, kRows = kBlock / kColumns;
constexpr int64_t kPart = 4096, kRun = 64;  // elements of a part; terms of a f32 sum

// inner 1: block (part, outer); partial [outer, parts]
template <class T> __global__ void __launch_bounds__(kBlock) sum_rows(const T* x, double* partial, float* y, int64_t axis, int64_t outer) {
  for (int64_t o = blockIdx.y; o < outer; o += gridDim.y) {
    const int64_t begin = blockIdx.x * kPart, end = begin + kPart < axis ? begin + kPart : axis;
    float sum = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += kBlock) sum += number(x[o * axis + i]);
    const double total = block_sum<kBlock>(double(sum));
    if (threadIdx.x) continue;
    if (gridDim.x == 1) y[o] = float(total);
    else partial[o * gridDim.x + blockIdx.x] = total;
  }
}

// inner > 1: block (strip of columns, part, outer), threads [kRows, kColumns]; partial [outer, parts, inner]
template <class T> __global__ void __launch_bounds__(kBlock) sum_columns(const T* x, double* partial, float* y, int64_t axis, int64_t inner, int64_t part, int64_t outer) {
  SHARED(double[kRows][kColumns], sums);
  const int column = threadIdx.x % kColumns, row = threadIdx.x / kColumns;
  const int64_t j = int64_t(blockIdx.x) * kColumns + column;
  const int64_t begin = blockIdx.y * part, end = begin + part < axis ? begin + part : axis;
  for (int64_t o = blockIdx.z; o < outer; o += gridDim.z) {
    double total = 0;
    if (j < inner)
      for (int64_t i = begin + row; i < end; i += kRows * kRun) {
        float sum = 0;
        for (int64_t k = i; k < end && k < i + kRows * kRun; k += kRows) sum += number(x[(o * axis + k) * inner + j]);
        total += double(sum);
      }
    sums[row][column] = total;
    __syncthreads();
    if (row == 0 && j < inner) {
      for (int r = 1; r < kRows; r++) total += sums[r][column];
      if (gridDim.y == 1) y[o * inner + j] = float(total);
      else partial[(o * gridDim.y + blockIdx.y) * inner + j] = total;
    }
    __syncthreads();
  }
}

__global__ void add_parts(const double* partial, float* y, int64_t outer, int64_t parts, int64_t inner) {
  for (int64_t i = thread_number(); i < outer * inner; i += grid_threads()) {
    double total = 0;
    for (int64_t k = 0; k < parts; k++) total += partial[(i / inner * parts + k) * inner + i % inner];
    y[i] = float(total);
  }
}

constexpr int64_t kGridY = 32768;  // the y and z of a grid are limited to 65535

template <class T> __global__ void largest(reduce_max_args p) {
  for (int64_t k = thread_number(); k < p.outer * p.inner; k += grid_threads()) {
    const T* x = as<T>(p.x) + k / p.inner * p.axis * p.inner + k % p.inner;
    float best = number(x[0]);
    int64_t at = 0;
    for (int64_t i = 1; i < p.axis && best == best; i++) {
      const float v = number(x[i * p.inner]);
      if (v > best || v != v) best = v, at = i;
    }
    put(as<T>(p.y)[k], best), p.index[k] = int32_t(at);
  }
}

}  // namespace

void reduce_sum(const reduce_sum_args& p, Queue& queue) {
  const int64_t axis = p.axis > 0 ? p.axis : 1;  // an empty sum still writes zeros
  const int64_t strips = ceil_divide(p.inner, kColumns);
  // Few columns are cut into more parts, so that the device is busy.
  const int64_t part = p.inner == 1 ? kPart : std::max<int64_t>(kRows * kRun, ceil_divide(axis * strips * p.outer, 1024));
  const int64_t parts = ceil_divide(axis, part);
  double* partial = parts > 1 ? queue.workspace<double>(p.outer * parts * p.inner) : nullptr;
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    const auto* x = reinterpret_cast<const T*>(p.x);
    const auto outers = unsigned(std::min(p.outer, kGridY));
    if (p.inner == 1) launch<sum_rows<T>>(queue, {dim3(unsigned(parts), outers), kBlock}, x, partial, p.y, p.axis, p.outer);
    else launch<sum_columns<T>>(queue, {dim3(unsigned(strips), unsigned(parts), outers), kBlock}, x, partial, p.y, p.axis, p.inner, part, p.outer);
  });
  if (parts > 1) launch<add_parts>(queue, {grid_for(p.outer * p.inner, kBlock), kBlock}, partial, p.y, p.outer, parts, p.inner);
}

void reduce_max(const reduce_max_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<largest<decltype(type)>>(queue, {grid_for(p.outer * p.inner, kBlock), kBlock}, p); });
}

}  // namespace rescunet::cuda
