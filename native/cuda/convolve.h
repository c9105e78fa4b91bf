// Products and convolutions by warpgroups (sm_90a), where precision and shape suit them; each launches and says true, or says false and does nothing.
#pragma once
#include <numeric>
#include "moments.h"

namespace rescunet::cuda {

template <class End> bool convolve_by_warpgroups(const conv2d_args& p, const End& end, Queue& queue);
bool input_by_warpgroups(const conv2d_input_args& p, const Ending& end, Queue& queue);
bool weight_by_warpgroups(const conv2d_weight_args& p, Queue& queue);
bool matmul_by_warpgroups(const matmul_args& p, Queue& queue);

/// conv2d and the statistics of its columns, on whatever path.
void convolve_measured(const conv2d_args& p, float* mean, float* variance, Queue& queue);

/// conv2d_input with an ending, on whatever path.
void convolve_back(const conv2d_input_args& p, const Ending& end, Queue& queue);

/// Kernel positions of one axis that reach inputs of parity q, and the outputs they read: `count` of them from `first` on, every
/// `step`-th; the output under tap t of input position i * s + q is i + offset + t * slope.
struct Parity {
  int64_t first = 0, step = 1, count = 0, offset = 0, slope = 0;

  Parity(int64_t q, int64_t k, int64_t s, int64_t p, int64_t d) {
    step = s / std::gcd(s, d);
    while (first < k && (q + p - first * d) % s) first++;
    if (first >= k) return;
    count = (k - first + step - 1) / step;
    offset = (q + p - first * d) / s, slope = -step * d / s;
  }
};

}  // namespace rescunet::cuda
