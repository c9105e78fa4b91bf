// The membrane problem of seamless blending, as on the cpu (native/cpu/poisson.cc explains the method): conjugate gradients with
// a multigrid V-cycle before it, four channels in one float4. One block does it all, so that no step waits for the host; its
// threads share the cells of each level and meet at barriers. Sums that the cpu scatters are gathered here.
#include "kernels.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 384, kLevels = 24, kCoarsest = 2, kCoarsestSweeps = 8;

__device__ inline float4 operator+(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }
__device__ inline float4 operator-(float4 a, float4 b) { return {a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w}; }
__device__ inline float4 operator*(float s, float4 a) { return {s * a.x, s * a.y, s * a.z, s * a.w}; }
__device__ inline float4 operator*(float4 a, float4 b) { return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w}; }
constexpr float4 kZero = {0, 0, 0, 0};

struct Sums { double of[4]; };  // one number per channel

// A grid with an empty row above and below, and an empty column at the right that also serves as the next row's left.
struct Level {
  int64_t h, w, stride;
  float *right, *below, *diagonal, *inverse;  // weights of edges; inverse: 1 / diagonal, or 0 where the cell takes no part
  float4 *x, *b, *r;

  __device__ int64_t cells() const { return (h + 2) * stride + 1; }
  __device__ int64_t at(int64_t i, int64_t j) const { return (i + 1) * stride + j + 1; }
  __device__ float4 neighbours(const float4* v, int64_t k) const {
    return right[k] * v[k + 1] + right[k - 1] * v[k - 1] + below[k] * v[k + stride] + below[k - stride] * v[k - stride];
  }
};

// Calls f(i, j, k) for every cell, shared among the threads; then all meet.
template <class F> __device__ void each_cell(const Level& l, const F& f) {
  for (int64_t c = threadIdx.x; c < l.h * l.w; c += kBlock) f(c / l.w, c % l.w, l.at(c / l.w, c % l.w));
  __syncthreads();
}
template <class F> __device__ void each(int64_t size, const F& f) {
  for (int64_t i = threadIdx.x; i < size; i += kBlock) f(i);
  __syncthreads();
}

// ---- the operator on every level -----------------------------------------------------------------------------------------

struct Memory {
  float* next;
  template <class T> __device__ T* take(int64_t n) {
    T* p = reinterpret_cast<T*>(next);
    next += n * int64_t(sizeof(T) / sizeof(float));
    return p;
  }
};

__device__ void lay_out(Level& l, Memory& memory, int64_t h, int64_t w) {
  l.h = h, l.w = w, l.stride = w + 1;
  // Multiples of four floats, so that what follows stays aligned.
  const int64_t cells = (l.cells() + 3) / 4 * 4;
  l.right = memory.take<float>(cells), l.below = memory.take<float>(cells), l.diagonal = memory.take<float>(cells), l.inverse = memory.take<float>(cells);
  l.x = memory.take<float4>(cells), l.b = memory.take<float4>(cells), l.r = memory.take<float4>(cells);
}

// A fixed pixel does not move away with the centres of the cells: at cells of 2^n pixels it is 2^(n-1) + 1/2 away.
__device__ void coarsen(const Level& fine, const Level& coarse, int n) {
  const float cell = float(1 << n), to_fixed = (cell + 1) / (2 * cell + 1);
  each_cell(coarse, [&](int64_t i, int64_t j, int64_t parent) {
    float inverse = 0, right = 0, below = 0;
    for (int64_t y = 2 * i; y < 2 * i + 2 && y < fine.h; y++)
      for (int64_t x = 2 * j; x < 2 * j + 2 && x < fine.w; x++) {
        const int64_t k = fine.at(y, x);
        inverse += to_fixed * fine.inverse[k];
        if (x & 1) right += 0.5f * fine.right[k];
        if (y & 1) below += 0.5f * fine.below[k];
      }
    coarse.inverse[parent] = inverse, coarse.right[parent] = right, coarse.below[parent] = below;
  });
}

__device__ void finish_level(const Level& l) {
  each_cell(l, [&](int64_t, int64_t, int64_t k) {
    l.diagonal[k] = l.inverse[k] + l.right[k] + l.right[k - 1] + l.below[k] + l.below[k - l.stride];
    l.inverse[k] = l.diagonal[k] > 0 ? 1 / l.diagonal[k] : 0;
  });
}

// ---- the V-cycle ---------------------------------------------------------------------------------------------------------

// One half of a Gauss-Seidel sweep: the cells of one colour of the checkerboard.
__device__ void relax(const Level& l, int colour) {
  each_cell(l, [&](int64_t i, int64_t j, int64_t k) {
    if (((i + j) & 1) == colour) l.x[k] = l.inverse[k] * (l.b[k] + l.neighbours(l.x, k));
  });
}

__device__ inline float stencil_weight(int m) { return m == 0 ? 9.0f / 16 : m == 3 ? 1.0f / 16 : 3.0f / 16; }

// Coarse cell m of the four around a fine one; the parent stands in for cells that take no part.
__device__ int64_t stencil(const Level& coarse, int64_t i, int64_t j, int m) {
  const int64_t parent = coarse.at(i / 2, j / 2);
  const int64_t cell = parent + (m & 1 ? (j & 1 ? 1 : -1) : 0) + (m & 2 ? (i & 1 ? coarse.stride : -coarse.stride) : 0);
  return coarse.inverse[cell] == 0 ? parent : cell;
}

// The residual of the even colour (the odd one has none), carried to the coarse level.
__device__ void restrict_residual(const Level& l, const Level& coarse) {
  each_cell(l, [&](int64_t i, int64_t j, int64_t k) {
    l.r[k] = (i + j) & 1 || l.inverse[k] == 0 ? kZero : l.b[k] + l.neighbours(l.x, k) - l.diagonal[k] * l.x[k];
  });
  each_cell(coarse, [&](int64_t i, int64_t j, int64_t cell) {
    float4 sum = kZero;
    for (int64_t y = 2 * i - 1; y < 2 * i + 3; y++)
      for (int64_t x = 2 * j - 1; x < 2 * j + 3; x++) {
        if (y < 0 || y >= l.h || x < 0 || x >= l.w || l.inverse[l.at(y, x)] == 0) continue;
        for (int m = 0; m < 4; m++)
          if (stencil(coarse, y, x, m) == cell) sum = sum + stencil_weight(m) * l.r[l.at(y, x)];
      }
    coarse.b[cell] = sum;
  });
}

__device__ void add_correction(const Level& l, const Level& coarse) {
  each_cell(l, [&](int64_t i, int64_t j, int64_t k) {
    if (l.inverse[k] == 0) return;
    float4 x = l.x[k];
    for (int m = 0; m < 4; m++) x = x + stencil_weight(m) * coarse.x[stencil(coarse, i, j, m)];
    l.x[k] = x;
  });
}

// x = approximate solution for b, the same symmetric operator every time.
__device__ void cycle(const Level* levels, int count) {
  for (int n = 0; n < count; n++) {
    const Level& l = levels[n];
    each_cell(l, [&](int64_t i, int64_t j, int64_t k) { l.x[k] = (i + j) & 1 ? kZero : l.inverse[k] * l.b[k]; });
    relax(l, 1);
    if (n < count - 1) restrict_residual(l, levels[n + 1]);
  }
  for (int sweep = 0; sweep < kCoarsestSweeps; sweep++) relax(levels[count - 1], 0), relax(levels[count - 1], 1);
  relax(levels[count - 1], 0);
  for (int n = count - 2; n >= 0; n--) {
    add_correction(levels[n], levels[n + 1]);
    relax(levels[n], 1);
    relax(levels[n], 0);
  }
}

// ---- conjugate gradients -------------------------------------------------------------------------------------------------

__device__ Sums dot(const Level& l, const float4* u, const float4* v) {
  Sums mine{};
  for (int64_t c = threadIdx.x; c < l.h * l.w; c += kBlock) {
    const float4 product = u[l.at(c / l.w, c % l.w)] * v[l.at(c / l.w, c % l.w)];
    mine.of[0] += double(product.x), mine.of[1] += double(product.y), mine.of[2] += double(product.z), mine.of[3] += double(product.w);
  }
  for (double& sum : mine.of) sum = block_sum<kBlock>(sum);
  return mine;
}

__device__ void apply(const Level& l, const float4* x, float4* y) {
  each_cell(l, [&](int64_t, int64_t, int64_t k) { y[k] = l.diagonal[k] * x[k] - l.neighbours(x, k); });
}

__device__ float4 ratio(const Sums& u, const Sums& v) {
  const auto one = [&](int c) { return v.of[c] > 0 ? float(u.of[c] / v.of[c]) : 0.0f; };
  return {one(0), one(1), one(2), one(3)};
}

// Solves A f = b from the guess f; the fine level's b holds b on entry and the residual afterwards. p: one more vector.
__device__ void solve(const Level* levels, int count, float4* f, float4* p, float tolerance, int64_t iterations) {
  const Level& l = levels[0];
  Sums goal = dot(l, l.b, l.b);
  apply(l, f, l.r);
  each_cell(l, [&](int64_t, int64_t, int64_t k) { l.b[k] = l.b[k] - l.r[k]; });
  Sums size = dot(l, l.b, l.b);
  for (int c = 0; c < 4; c++) goal.of[c] = double(tolerance) * double(tolerance) * (goal.of[c] > 0 ? goal.of[c] : size.of[c]);
  Sums rz{};
  for (int64_t iteration = 0; iteration < iterations; iteration++) {
    bool done = true;
    for (int c = 0; c < 4; c++) done = done && !(size.of[c] > goal.of[c]);  // not a number: nothing to be gained
    if (done) break;
    cycle(levels, count);
    const Sums previous = rz;
    rz = dot(l, l.b, l.x);
    const float4 beta = ratio(rz, previous);
    each_cell(l, [&](int64_t, int64_t, int64_t k) { p[k] = l.x[k] + beta * p[k]; });
    apply(l, p, l.r);
    const float4 alpha = ratio(rz, dot(l, p, l.r));
    each_cell(l, [&](int64_t, int64_t, int64_t k) {
      f[k] = f[k] + alpha * p[k];
      l.b[k] = l.b[k] - alpha * l.r[k];
    });
    size = dot(l, l.b, l.b);
  }
}

// ---- the problem -----------------------------------------------------------------------------------------------------------

// label[i] = the first pixel of i's connected region of free pixels: the smallest number spreads, and jumps along itself.
__device__ void label_regions(const poisson_args& a) {
  SHARED(int, changed);
  const int64_t size = a.h * a.w;
  each(size, [&](int64_t i) { a.label[i] = int32_t(i); });
  for (;;) {
    if (threadIdx.x == 0) changed = 0;
    __syncthreads();
    each(size, [&](int64_t i) {
      if (a.mask[i] != 1) return;
      int32_t least = a.label[a.label[i]];
      const auto meet = [&](bool inside, int64_t j) {
        if (inside && a.mask[j] == 1 && a.label[j] < least) least = a.label[j];
      };
      meet(i % a.w > 0, i - 1), meet(i % a.w < a.w - 1, i + 1), meet(i >= a.w, i - a.w), meet(i + a.w < size, i + a.w);
      if (least < a.label[i]) a.label[i] = least, changed = 1;
    });
    const bool again = changed != 0;
    __syncthreads();
    if (!again) return;
  }
}

// Edges of the fine level; `anchored`, by label: whether a region touches a fixed pixel.
__device__ void connect(const poisson_args& a, const Level& fine, float* anchored) {
  const int64_t size = a.h * a.w;
  each(size, [&](int64_t i) {
    if (a.mask[i] != 1) return;
    const int64_t k = fine.at(i / a.w, i % a.w);
    const auto fixed = [&](bool inside, int64_t j) { return inside && a.mask[j] >= 2 ? 1.0f : 0.0f; };
    const float weight = fixed(i % a.w > 0, i - 1) + fixed(i % a.w < a.w - 1, i + 1) + fixed(i >= a.w, i - a.w) + fixed(i + a.w < size, i + a.w);
    fine.inverse[k] = weight;
    if (i % a.w < a.w - 1 && a.mask[i + 1] == 1) fine.right[k] = 1;
    if (i + a.w < size && a.mask[i + a.w] == 1) fine.below[k] = 1;
    if (weight > 0) anchored[a.label[i]] = 1;
  });
}

__device__ inline float& channel(float4& v, int c) { return c == 0 ? v.x : c == 1 ? v.y : c == 2 ? v.z : v.w; }

__global__ void __launch_bounds__(kBlock, 1) solve_all(poisson_args a, int64_t scratch_floats) {
  SHARED(Level[kLevels], levels);
  SHARED(Memory, memory);
  SHARED(int, count);
  const int64_t size = a.h * a.w;
  each(scratch_floats, [&](int64_t i) { a.scratch[i] = 0; });
  if (threadIdx.x == 0) {
    memory.next = a.scratch, count = 0;
    for (int64_t h = a.h, w = a.w;; h = (h + 1) / 2, w = (w + 1) / 2) {
      lay_out(levels[count++], memory, h, w);
      if ((h <= kCoarsest && w <= kCoarsest) || count == kLevels) break;
    }
  }
  __syncthreads();
  const Level& fine = levels[0];
  Memory rest = memory;
  const int64_t cells = (fine.cells() + 3) / 4 * 4;
  float4 *f = rest.take<float4>(cells), *p = rest.take<float4>(cells);
  float* anchored = rest.take<float>(size);

  label_regions(a);
  connect(a, fine, anchored);
  // A region without any fixed pixel is determined up to a constant: its first pixel is tied to its x.
  const auto tied = [&](int64_t i) { return a.mask[i] == 1 && a.label[i] == i && !(anchored[i] > 0); };
  each(size, [&](int64_t i) {
    if (tied(i)) fine.inverse[fine.at(i / a.w, i % a.w)] += 1;
  });
  for (int n = 0; n < count; n++) {
    if (n + 1 < count) coarsen(levels[n], levels[n + 1], n);
    finish_level(levels[n]);
  }

  for (int64_t c0 = 0; c0 < a.c; c0 += 4) {
    const int lanes = int(a.c - c0 < 4 ? a.c - c0 : 4);
    each(fine.cells(), [&](int64_t k) { f[k] = p[k] = fine.x[k] = fine.b[k] = kZero; });
    each(size, [&](int64_t i) {
      if (a.mask[i] != 1) return;
      float4 guess = kZero, b = kZero;
      for (int c = 0; c < lanes; c++) channel(guess, c) = a.x[i * a.c + c0 + c];
      // An edge to j asks for f_i - f_j = sign * g, and brings x_j when j is fixed.
      const auto edge = [&](bool inside, int64_t j, const float* g, float sign) {
        if (!inside || a.mask[j] == 0) return;
        for (int c = 0; c < lanes; c++) channel(b, c) += sign * g[c0 + c] + (a.mask[j] >= 2 ? a.x[j * a.c + c0 + c] : 0.0f);
      };
      edge(i % a.w > 0, i - 1, a.gx + (i - 1) * a.c, 1);
      edge(i % a.w < a.w - 1, i + 1, a.gx + i * a.c, -1);
      edge(i >= a.w, i - a.w, a.gy + (i - a.w) * a.c, 1);
      edge(i + a.w < size, i + a.w, a.gy + i * a.c, -1);
      const int64_t k = fine.at(i / a.w, i % a.w);
      f[k] = guess, fine.b[k] = tied(i) ? b + guess : b;
    });
    solve(levels, count, f, p, a.tolerance, a.iterations);
    // The mean of a region without a fixed pixel is put back: its first pixel's thread sums the change, in the order of pixels.
    each(size, [&](int64_t i) {
      if (!tied(i)) return;
      float4 change = kZero;
      float members = 0;
      for (int64_t j = i; j < size; j++) {
        if (a.mask[j] != 1 || a.label[j] != i) continue;
        const float4 value = f[fine.at(j / a.w, j % a.w)];
        float4 before = kZero;
        for (int c = 0; c < lanes; c++) channel(before, c) = a.x[j * a.c + c0 + c];
        change = change + (value - before), members += 1;
      }
      p[fine.at(i / a.w, i % a.w)] = 1 / members * change;
    });
    each(size, [&](int64_t i) {
      const int64_t k = fine.at(i / a.w, i % a.w), label = a.label[i];
      float4 y = f[k];
      if (a.mask[i] == 1 && !(anchored[label] > 0)) y = y - p[fine.at(label / a.w, label % a.w)];
      for (int c = 0; c < lanes; c++) a.y[i * a.c + c0 + c] = a.mask[i] != 1 ? a.x[i * a.c + c0 + c] : channel(y, c);
    });
  }
}

}  // namespace

void poisson(const poisson_args& p, Queue& queue) {
  // Four fields of a float and three of a float4 per cell and level, and on the finest two more and the labels' marks.
  const auto cells = [](int64_t h, int64_t w) { return ((h + 2) * (w + 1) + 1 + 3) / 4 * 4; };
  int64_t floats = 8 * cells(p.h, p.w) + p.h * p.w;
  for (int64_t h = p.h, w = p.w, n = 0;; h = (h + 1) / 2, w = (w + 1) / 2) {
    floats += 16 * cells(h, w);
    if ((h <= kCoarsest && w <= kCoarsest) || ++n == kLevels) break;
  }
  poisson_args own = p;
  own.scratch = queue.workspace<float>(floats);
  launch<solve_all>(queue, {1, kBlock}, own, floats);
}

}  // namespace rescunet::cuda
