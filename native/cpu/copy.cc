// Kernels that move elements without looking at them.
#include <stdexcept>
#include <string>
#include "rows.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kGrain = 1 << 15, kShort = 8;  // up to that a loop is quicker than a call

void copy(const copy_args& p, Pool& pool) {
  pool.split(p.size * p.width, 4 * kGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(p.y) + begin, static_cast<const char*>(p.x) + begin, end - begin);
  });
}

// Copies between a packed array of `shape` and a strided one: strides and offset count elements of the strided side.
template <class T, bool kRead, class Args> static void strided(const Args& p, Pool& pool) {
  int64_t rows = 1, n = p.shape[5], step = p.strides[5];
  for (int d = 0; d < 5; d++) rows *= p.shape[d];
  int64_t grain = n >= kGrain ? 1 : kGrain / (n ? n : 1);
  pool.split(rows, grain, [&](int64_t begin, int64_t end) {
    const Ints* const strides[] = {&p.strides};
    Rows<1> walk(p.shape, strides, begin);
    for (int64_t row = begin; row < end; row++, walk.next()) {
      const int64_t at = p.offset + walk.at[0];
      if constexpr (kRead) {
        const T* x = static_cast<const T*>(p.x) + at;
        T* y = static_cast<T*>(p.y) + row * n;
        if (step == 1 && n > kShort) std::memcpy(y, x, n * sizeof(T));
        else
          for (int64_t i = 0; i < n; i++) y[i] = x[i * step];
      } else {
        const T* x = static_cast<const T*>(p.x) + row * n;
        T* y = static_cast<T*>(p.y) + at;
        if (step == 1 && n > kShort) std::memcpy(y, x, n * sizeof(T));
        else
          for (int64_t i = 0; i < n; i++) y[i * step] = x[i];
      }
    }
  });
}

void strided_read(const strided_read_args& p, Pool& pool) {
  if (p.width == 4) strided<uint32_t, true>(p, pool);
  else if (p.width == 2) strided<uint16_t, true>(p, pool);
  else strided<uint8_t, true>(p, pool);
}

void strided_write(const strided_write_args& p, Pool& pool) {
  if (p.width == 4) strided<uint32_t, false>(p, pool);
  else if (p.width == 2) strided<uint16_t, false>(p, pool);
  else strided<uint8_t, false>(p, pool);
}

static void check_indices(const char* op, const int32_t* indices, int64_t count, int64_t axis) {
  for (int64_t i = 0; i < count; i++)
    if (indices[i] < 0 || indices[i] >= axis)
      throw std::runtime_error(std::string(op) + ": index " + std::to_string(indices[i]) + " is outside the axis of " + std::to_string(axis));
}

void gather(const gather_args& p, Pool& pool) {
  check_indices("gather", p.indices, p.count, p.axis);
  int64_t bytes = p.inner * p.width;
  pool.split(p.outer * p.count, kGrain / (bytes < kGrain ? bytes + 1 : kGrain) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      std::memcpy(static_cast<char*>(p.y) + i * bytes, static_cast<const char*>(p.x) + (i / p.count * p.axis + p.indices[i % p.count]) * bytes, bytes);
  });
}

// Each thread owns whole columns of x, so equal indices add up in their order.
void scatter_add(const scatter_add_args& p, Pool& pool) {
  check_indices("scatterAdd", p.indices, p.count, p.axis);
  constexpr int64_t kColumns = 64;
  int64_t blocks = (p.inner + kColumns - 1) / kColumns;
  pool.run(p.outer * blocks, [&](int64_t chunk) {
    int64_t o = chunk / blocks, begin = chunk % blocks * kColumns, n = p.inner - begin < kColumns ? p.inner - begin : kColumns;
    float* x = p.x + o * p.axis * p.inner + begin;
    const float* y = p.y + o * p.count * p.inner + begin;
    for (int64_t i = 0; i < p.axis; i++) std::memset(x + i * p.inner, 0, n * sizeof(float));
    for (int64_t i = 0; i < p.count; i++)
      for (int64_t j = 0; j < n; j++) x[p.indices[i] * p.inner + j] += y[i * p.inner + j];
  });
}

void take_axis(const take_axis_args& p, Pool& pool) {
  check_indices("takeAxis", p.indices, p.outer * p.inner, p.axis);
  pool.split(p.outer * p.inner, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.y[i] = p.x[(i / p.inner * p.axis + p.indices[i]) * p.inner + i % p.inner];
  });
}

void put_axis(const put_axis_args& p, Pool& pool) {
  check_indices("putAxis", p.indices, p.outer * p.inner, p.axis);
  pool.split(p.outer, kGrain / (p.axis * p.inner + 1) + 1, [&](int64_t begin, int64_t end) {
    std::memset(p.x + begin * p.axis * p.inner, 0, (end - begin) * p.axis * p.inner * sizeof(float));
    for (int64_t i = begin * p.inner; i < end * p.inner; i++) p.x[(i / p.inner * p.axis + p.indices[i]) * p.inner + i % p.inner] = p.y[i];
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
