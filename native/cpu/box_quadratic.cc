// Projected coordinate descent on 1/2 w^T Q w - b^T w, low <= w <= high: one problem after the other, coordinates in order,
// sums in f64. The problems are small (paper-spec 9.4: one per face, an unknown per parameter).
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

static void solve(const box_quadratic_args& a, const float* q, const float* b, float* w) {
  for (int64_t i = 0; i < a.d; ++i) w[i] = 0.5f * (a.low + a.high);
  for (int64_t sweep = 0; sweep < a.sweeps; ++sweep) {
    float moved = 0;
    for (int64_t i = 0; i < a.d; ++i) {
      const float* row = q + i * a.d;
      if (!(row[i] > 0)) continue;
      double sum = b[i];
      for (int64_t j = 0; j < a.d; ++j) sum -= double(row[j]) * double(w[j]);
      float next = float(double(w[i]) + sum / double(row[i]));
      next = next < a.low ? a.low : next > a.high ? a.high : next;
      const float step = next > w[i] ? next - w[i] : w[i] - next;
      moved = step > moved ? step : moved;
      w[i] = next;
    }
    if (moved < a.tolerance) return;
  }
}

void box_quadratic(const box_quadratic_args& a, Pool& pool) {
  pool.split(a.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) solve(a, a.q + k * a.d * a.d, a.b + k * a.d, a.w + k * a.d);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
