// Kernels that move elements without looking at them.
#include "kernels.h"
#include "scatter.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

template <class T> __global__ void copy_units(const T* x, T* y, int64_t size) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) y[i] = x[i];
}

template <class T> void copy_as(const copy_args& p, Queue& queue) {
  const int64_t units = p.size * p.width / int64_t(sizeof(T));
  launch<copy_units<T>>(queue, {grid_for(units, kBlock), kBlock}, static_cast<const T*>(p.x), static_cast<T*>(p.y), units);
}

// A packed array of `shape` and a strided one, in units of one move.
struct Walk {
  int64_t shape[6], strides[6], offset, size;

  __device__ int64_t at(int64_t i) const {
    int64_t sum = offset;
    for (int d = 5; d > 0; d--) {
      if (shape[d] == 1) continue;
      const int64_t rest = i / shape[d];
      sum += (i - rest * shape[d]) * strides[d], i = rest;
    }
    return sum + i * strides[0];
  }
};

template <class T, bool kRead> __global__ void move_strided(const T* x, T* y, Walk walk) {
  for (int64_t i = thread_number(); i < walk.size; i += grid_threads()) {
    if (kRead) y[i] = x[walk.at(i)];
    else y[walk.at(i)] = x[i];
  }
}

template <class T, bool kRead> void launch_strided(const void* x, void* y, const Walk& walk, Queue& queue) {
  launch<move_strided<T, kRead>>(queue, {grid_for(walk.size, kBlock), kBlock}, static_cast<const T*>(x), static_cast<T*>(y), walk);
}

template <bool kRead, class Args> void strided(const Args& p, Queue& queue) {
  Walk walk{{}, {}, p.offset, 1};
  for (int d = 0; d < 6; d++) walk.shape[d] = p.shape[d], walk.strides[d] = p.strides[d], walk.size *= p.shape[d];
  // Sixteen bytes at a time where the last axis lies together and everything is a multiple of them.
  const int64_t together = 16 / p.width;
  bool wide = walk.strides[5] == 1 && walk.shape[5] % together == 0 && p.offset % together == 0 && aligned16(p.x, p.y);
  for (int d = 0; d < 5; d++) wide = wide && walk.strides[d] % together == 0;
  if (wide) {
    walk.shape[5] /= together, walk.offset /= together, walk.size /= together;
    for (int d = 0; d < 5; d++) walk.strides[d] /= together;
    return launch_strided<uint4, kRead>(p.x, p.y, walk, queue);
  }
  if (p.width == 4) launch_strided<uint32_t, kRead>(p.x, p.y, walk, queue);
  else if (p.width == 2) launch_strided<uint16_t, kRead>(p.x, p.y, walk, queue);
  else launch_strided<uint8_t, kRead>(p.x, p.y, walk, queue);
}

// Waits for the kernel that looked at the indices.
void check_indices(const char* op, const int32_t* indices, int64_t axis, Queue& queue) {
  const int64_t at = queue.failed_at();
  if (at >= 0)
    throw std::runtime_error(std::string(op) + ": index " + std::to_string(queue.read(indices + at)) + " is outside the axis of " + std::to_string(axis));
}

template <class T>
__global__ void gather_rows(const T* x, const int32_t* indices, T* y, int64_t size, int64_t axis, int64_t count, int64_t inner, unsigned long long* failure) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) {
    const int64_t row = i / inner, k = row % count, index = indices[k];
    if (index < 0 || index >= axis) report(failure, k);
    else y[i] = x[(row / count * axis + index) * inner + i % inner];
  }
}

template <class T> void gather_as(const gather_args& p, Queue& queue) {
  const int64_t inner = p.inner * p.width / int64_t(sizeof(T)), size = p.outer * p.count * inner;
  launch<gather_rows<T>>(queue, {grid_for(size, kBlock), kBlock}, static_cast<const T*>(p.x), p.indices, static_cast<T*>(p.y), size, p.axis, p.count, inner,
                         queue.failure());
}

struct IndexHits {
  const int32_t* indices;
  int64_t axis;
  unsigned long long* failure;
  __device__ Hit operator()(int64_t source, int) const {
    const int64_t index = indices[source];
    if (index >= 0 && index < axis) return {index, 1.f};
    report(failure, source);
    return {-1, 0};
  }
};

__global__ void take(take_axis_args p, unsigned long long* failure) {
  for (int64_t i = thread_number(); i < p.outer * p.inner; i += grid_threads()) {
    const int64_t index = p.indices[i];
    if (index < 0 || index >= p.axis) report(failure, i);
    else p.y[i] = p.x[(i / p.inner * p.axis + index) * p.inner + i % p.inner];
  }
}

__global__ void put(put_axis_args p, unsigned long long* failure) {
  for (int64_t i = thread_number(); i < p.outer * p.inner; i += grid_threads()) {
    const int64_t index = p.indices[i];
    if (index < 0 || index >= p.axis) report(failure, i);
    float* x = p.x + i / p.inner * p.axis * p.inner + i % p.inner;
    for (int64_t k = 0; k < p.axis; k++) x[k * p.inner] = k == index ? p.y[i] : 0.f;
  }
}

}  // namespace

void copy(const copy_args& p, Queue& queue) {
  if (p.size * p.width % 16 == 0 && aligned16(p.x, p.y)) copy_as<uint4>(p, queue);
  else copy_as<uint8_t>(p, queue);
}

void strided_read(const strided_read_args& p, Queue& queue) { strided<true>(p, queue); }
void strided_write(const strided_write_args& p, Queue& queue) { strided<false>(p, queue); }

void gather(const gather_args& p, Queue& queue) {
  const int64_t bytes = p.inner * p.width;
  if (bytes % 16 == 0 && aligned16(p.x, p.y)) gather_as<uint4>(p, queue);
  else if (p.width == 4) gather_as<uint32_t>(p, queue);
  else if (p.width == 2) gather_as<uint16_t>(p, queue);
  else gather_as<uint8_t>(p, queue);
  check_indices("gather", p.indices, p.axis, queue);
}

void scatter_add(const scatter_add_args& p, Queue& queue) {
  scatter<1>(queue, IndexHits{p.indices, p.axis, queue.failure()}, p.y, p.x, p.outer, p.count, p.axis, p.inner);
  check_indices("scatterAdd", p.indices, p.axis, queue);
}

void take_axis(const take_axis_args& p, Queue& queue) {
  launch<take>(queue, {grid_for(p.outer * p.inner, kBlock), kBlock}, p, queue.failure());
  check_indices("takeAxis", p.indices, p.axis, queue);
}

void put_axis(const put_axis_args& p, Queue& queue) {
  launch<put>(queue, {grid_for(p.outer * p.inner, kBlock), kBlock}, p, queue.failure());
  check_indices("putAxis", p.indices, p.axis, queue);
}

}  // namespace rescunet::cuda
