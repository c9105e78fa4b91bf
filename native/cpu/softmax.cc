// Softmax and its logarithm along the axis of x [outer, axis, inner], shifted by the maximum, sums in f64.
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

template <class Args, class F> static void along(const Args& p, Pool& pool, const F& f) {
  pool.split(p.outer * p.inner, (1 << 12) / (p.axis + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++) {
      int64_t offset = k / p.inner * p.axis * p.inner + k % p.inner;
      const float* x = p.x + offset;
      float* y = p.y + offset;
      float largest = x[0];
      for (int64_t i = 1; i < p.axis; i++)
        if (x[i * p.inner] > largest || x[i * p.inner] != x[i * p.inner]) largest = x[i * p.inner];
      double sum = 0;
      for (int64_t i = 0; i < p.axis; i++) sum += std::exp(double(x[i * p.inner] - largest));
      f(x, y, largest, sum);
    }
  });
}

void softmax(const softmax_args& p, Pool& pool) {
  along(p, pool, [&](const float* x, float* y, float largest, double sum) {
    for (int64_t i = 0; i < p.axis; i++) y[i * p.inner] = float(std::exp(double(x[i * p.inner] - largest)) / sum);
  });
}

void log_softmax(const log_softmax_args& p, Pool& pool) {
  along(p, pool, [&](const float* x, float* y, float largest, double sum) {
    const double shift = double(largest) + std::log(sum);
    for (int64_t i = 0; i < p.axis; i++) y[i * p.inner] = float(double(x[i * p.inner]) - shift);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
