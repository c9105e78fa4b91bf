// The membrane problem of seamless blending (paper-spec 2.5): conjugate gradients with a multigrid V-cycle before it.
// Four channels travel together in one vector. Every level is a five-point operator that is 0 where a cell takes no
// part, so that no inner loop asks about the mask. A coarse cell is 2x2 cells and its edges are half the sum of theirs:
// the sum alone would halve the smooth corrections. Values come down bilinearly, or from the parent where a neighbour
// takes no part.
//
// A region of free pixels without any fixed one is determined up to a constant: it is solved with one pixel tied to its
// x, and then moved to the mean of x.
#include <initializer_list>
#include <cstdint>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

typedef float Four __attribute__((vector_size(16), aligned(4)));

// One number per channel, in double.
struct Sums {
  double of[4];
};

constexpr int kLevels = 24;
constexpr int64_t kCoarsest = 2;  // side at which coarsening stops
constexpr int kCoarsestSweeps = 8;

// A grid with an empty row above and below, and an empty column at the right that also serves as the next row's left.
struct Level {
  int64_t h, w, stride;
  float *right, *below;       // weights of the edges to the right and below
  float *diagonal, *inverse;  // inverse: 1 / diagonal, or 0 where the cell takes no part
  Four *x, *b, *r;

  int64_t cells() const { return (h + 2) * stride + 1; }
  int64_t at(int64_t i, int64_t j) const { return (i + 1) * stride + j + 1; }
};

inline Four neighbours(const Level& l, const Four* v, int64_t k) {
  return l.right[k] * v[k + 1] + l.right[k - 1] * v[k - 1] + l.below[k] * v[k + l.stride] +
         l.below[k - l.stride] * v[k - l.stride];
}

// Carves n elements off the scratch memory and clears them.
template <class T>
T* carve(float*& scratch, int64_t n) {
  T* p = reinterpret_cast<T*>(scratch);
  int64_t floats = n * int64_t(sizeof(T) / sizeof(float));
  for (int64_t i = 0; i < floats; ++i) scratch[i] = 0;
  scratch += floats;
  return p;
}

Level make_level(float*& scratch, int64_t h, int64_t w) {
  Level l{};
  l.h = h, l.w = w, l.stride = w + 1;
  for (float** field : {&l.right, &l.below, &l.diagonal, &l.inverse}) *field = carve<float>(scratch, l.cells());
  for (Four** field : {&l.x, &l.b, &l.r}) *field = carve<Four>(scratch, l.cells());
  return l;
}

// On entry `inverse` holds the weight of a cell's edges to fixed pixels.
void finish_level(Level& l) {
  for (int64_t k = l.stride; k < l.cells() - l.stride; ++k) {
    l.diagonal[k] = l.inverse[k] + l.right[k] + l.right[k - 1] + l.below[k] + l.below[k - l.stride];
    l.inverse[k] = l.diagonal[k] > 0 ? 1 / l.diagonal[k] : 0;
  }
}

// Fills the coarse level from the fine one, whose `inverse` is still the weight to fixed pixels. A fixed pixel does not
// move away with the centres of the cells: at cells of 2^n pixels it is 2^(n-1) + 1/2 away, which is what `to_fixed`
// restores.
void coarsen(const Level& fine, Level& coarse, int n) {
  const float cell = float(1 << n), to_fixed = (cell + 1) / (2 * cell + 1);
  for (int64_t i = 0; i < fine.h; ++i)
    for (int64_t j = 0; j < fine.w; ++j) {
      int64_t k = fine.at(i, j), parent = coarse.at(i / 2, j / 2);
      coarse.inverse[parent] += to_fixed * fine.inverse[k];
      if (j & 1) coarse.right[parent] += 0.5f * fine.right[k];
      if (i & 1) coarse.below[parent] += 0.5f * fine.below[k];
    }
}

// One half of a Gauss-Seidel sweep: the cells of one colour of the checkerboard.
void relax(const Level& l, int64_t colour) {
  for (int64_t i = 0; i < l.h; ++i)
    for (int64_t j = (i + colour) & 1, k = l.at(i, j); j < l.w; j += 2, k += 2)
      l.x[k] = (l.b[k] + neighbours(l, l.x, k)) * l.inverse[k];
}

// The four coarse cells around a fine one and their weights; the parent stands in for cells that take no part.
struct Stencil {
  int64_t cell[4];
};
constexpr float kWeights[4] = {9.0f / 16, 3.0f / 16, 3.0f / 16, 1.0f / 16};

inline Stencil stencil(const Level& coarse, int64_t i, int64_t j) {
  int64_t parent = coarse.at(i / 2, j / 2), side = j & 1 ? 1 : -1, row = i & 1 ? coarse.stride : -coarse.stride;
  Stencil s{{parent, parent + side, parent + row, parent + row + side}};
  for (int k = 1; k < 4; ++k)
    if (coarse.inverse[s.cell[k]] == 0) s.cell[k] = parent;
  return s;
}

// x = approximate solution for b, the same symmetric operator every time.
void cycle(const Level* levels, int count) {
  for (int n = 0; n < count; ++n) {
    const Level& l = levels[n];
    for (int64_t i = 0; i < l.h; ++i)
      for (int64_t j = 0, k = l.at(i, 0); j < l.w; ++j, ++k) l.x[k] = (i + j) & 1 ? Four{} : l.b[k] * l.inverse[k];
    relax(l, 1);
    if (n == count - 1) {
      for (int sweep = 0; sweep < kCoarsestSweeps; ++sweep) relax(l, 0), relax(l, 1);
      relax(l, 0);
      break;
    }
    const Level& coarse = levels[n + 1];
    for (int64_t k = 0; k < coarse.cells(); ++k) coarse.b[k] = Four{};
    for (int64_t i = 0; i < l.h; ++i)
      for (int64_t j = i & 1, k = l.at(i, j); j < l.w; j += 2, k += 2) {  // the other colour has no residual
        if (l.inverse[k] == 0) continue;
        Four r = l.b[k] + neighbours(l, l.x, k) - l.diagonal[k] * l.x[k];
        Stencil s = stencil(coarse, i, j);
        for (int m = 0; m < 4; ++m) coarse.b[s.cell[m]] += kWeights[m] * r;
      }
  }
  for (int n = count - 2; n >= 0; --n) {
    const Level &l = levels[n], &coarse = levels[n + 1];
    for (int64_t i = 0; i < l.h; ++i)
      for (int64_t j = 0, k = l.at(i, 0); j < l.w; ++j, ++k) {
        if (l.inverse[k] == 0) continue;
        Stencil s = stencil(coarse, i, j);
        l.x[k] += kWeights[0] * coarse.x[s.cell[0]] + kWeights[1] * coarse.x[s.cell[1]] +
                  kWeights[2] * coarse.x[s.cell[2]] + kWeights[3] * coarse.x[s.cell[3]];
      }
    relax(l, 1);
    relax(l, 0);
  }
}

// sum u v per channel; rows in float, their sum in double
Sums dot(const Level& l, const Four* u, const Four* v) {
  Sums total{};
  for (int64_t i = 0; i < l.h; ++i) {
    Four row{};
    for (int64_t k = l.at(i, 0); k < l.at(i, l.w); ++k) row += u[k] * v[k];
    for (int c = 0; c < 4; ++c) total.of[c] += double(row[c]);
  }
  return total;
}

// A x at cells that take part, 0 elsewhere
void apply(const Level& l, const Four* x, Four* y) {
  for (int64_t i = 0; i < l.h; ++i)
    for (int64_t k = l.at(i, 0); k < l.at(i, l.w); ++k) y[k] = l.diagonal[k] * x[k] - neighbours(l, x, k);
}

inline Four ratio(const Sums& u, const Sums& v) {
  Four q{};
  for (int c = 0; c < 4; ++c) q[c] = v.of[c] > 0 ? float(u.of[c] / v.of[c]) : 0.0f;
  return q;
}

// Solves A f = b from the guess f; `fine.b` holds b on entry and the residual afterwards. p: one more vector.
void solve(const Level* levels, int count, Four* f, Four* p, float tolerance, int64_t iterations) {
  const Level& l = levels[0];
  int64_t first = l.at(0, 0), last = l.at(l.h - 1, l.w);
  Sums goal = dot(l, l.b, l.b);
  apply(l, f, l.r);
  for (int64_t k = first; k < last; ++k) l.b[k] -= l.r[k];
  Sums size = dot(l, l.b, l.b);
  for (int c = 0; c < 4; ++c)
    goal.of[c] = double(tolerance) * double(tolerance) * (goal.of[c] > 0 ? goal.of[c] : size.of[c]);
  Sums rz{};
  for (int64_t iteration = 0; iteration < iterations; ++iteration) {
    bool done = true;
    for (int c = 0; c < 4; ++c) done = done && !(size.of[c] > goal.of[c]);  // not a number: nothing to be gained
    if (done) break;
    cycle(levels, count);
    Sums previous = rz;
    rz = dot(l, l.b, l.x);
    Four beta = ratio(rz, previous);
    for (int64_t k = first; k < last; ++k) p[k] = l.x[k] + beta * p[k];
    apply(l, p, l.r);
    Four alpha = ratio(rz, dot(l, p, l.r));
    for (int64_t k = first; k < last; ++k) {
      f[k] += alpha * p[k];
      l.b[k] -= alpha * l.r[k];
    }
    size = dot(l, l.b, l.b);
  }
}

int32_t root(int32_t* label, int32_t i) {
  while (label[i] != i) i = label[i] = label[label[i]];
  return i;
}

// label[i] = the first pixel of i's connected region of free pixels
void label_regions(const poisson_args& a) {
  const int64_t size = a.h * a.w;
  auto join = [&](int32_t i, int32_t j) {
    if (a.mask[i] != 1 || a.mask[j] != 1) return;
    i = root(a.label, i), j = root(a.label, j);
    if (i < j) a.label[j] = i;
    else a.label[i] = j;
  };
  for (int64_t i = 0; i < size; ++i) a.label[i] = int32_t(i);
  for (int64_t i = 0; i < size; ++i) {
    if (i % a.w) join(int32_t(i), int32_t(i - 1));
    if (i >= a.w) join(int32_t(i), int32_t(i - a.w));
  }
  for (int64_t i = 0; i < size; ++i) a.label[i] = root(a.label, int32_t(i));
}

}  // namespace

void poisson(const poisson_args& a, Pool&) {
  const int64_t size = a.h * a.w;
  float* scratch = a.scratch;
  Level levels[kLevels];
  int count = 0;
  for (int64_t h = a.h, w = a.w;; h = (h + 1) / 2, w = (w + 1) / 2) {
    levels[count++] = make_level(scratch, h, w);
    if ((h <= kCoarsest && w <= kCoarsest) || count == kLevels) break;
  }
  const Level& fine = levels[0];
  Four *f = carve<Four>(scratch, fine.cells()), *p = carve<Four>(scratch, fine.cells());
  float* anchored = carve<float>(scratch, size);  // by label: whether the region touches a fixed pixel
  label_regions(a);

  for (int64_t i = 0; i < size; ++i) {
    if (a.mask[i] != 1) continue;
    int64_t k = fine.at(i / a.w, i % a.w);
    auto fixed = [&](bool inside, int64_t j) {
      if (inside && a.mask[j] >= 2) fine.inverse[k] += 1;
    };
    fixed(i % a.w > 0, i - 1);
    fixed(i % a.w < a.w - 1, i + 1);
    fixed(i >= a.w, i - a.w);
    fixed(i + a.w < size, i + a.w);
    if (i % a.w < a.w - 1 && a.mask[i + 1] == 1) fine.right[k] = 1;
    if (i + a.w < size && a.mask[i + a.w] == 1) fine.below[k] = 1;
    if (fine.inverse[k] > 0) anchored[a.label[i]] = 1;
  }
  auto tied = [&](int64_t i) { return a.mask[i] == 1 && a.label[i] == i && !(anchored[i] > 0); };
  for (int64_t i = 0; i < size; ++i)
    if (tied(i)) fine.inverse[fine.at(i / a.w, i % a.w)] += 1;
  for (int n = 0; n < count; ++n) {
    if (n + 1 < count) coarsen(levels[n], levels[n + 1], n);
    finish_level(levels[n]);
  }

  for (int64_t c0 = 0; c0 < a.c; c0 += 4) {
    const int lanes = int(a.c - c0 < 4 ? a.c - c0 : 4);
    for (int64_t k = 0; k < fine.cells(); ++k) f[k] = p[k] = fine.x[k] = fine.b[k] = Four{};
    for (int64_t i = 0; i < size; ++i) {
      if (a.mask[i] != 1) continue;
      int64_t k = fine.at(i / a.w, i % a.w);
      // an edge to j asks for f_i - f_j = sign * g, and brings x_j when j is fixed
      auto edge = [&](bool inside, int64_t j, const float* g, float sign) {
        if (!inside || a.mask[j] == 0) return;
        for (int c = 0; c < lanes; ++c)
          fine.b[k][c] += sign * g[c0 + c] + (a.mask[j] >= 2 ? a.x[j * a.c + c0 + c] : 0.0f);
      };
      edge(i % a.w > 0, i - 1, a.gx + (i - 1) * a.c, 1);
      edge(i % a.w < a.w - 1, i + 1, a.gx + i * a.c, -1);
      edge(i >= a.w, i - a.w, a.gy + (i - a.w) * a.c, 1);
      edge(i + a.w < size, i + a.w, a.gy + i * a.c, -1);
      for (int c = 0; c < lanes; ++c) {
        f[k][c] = a.x[i * a.c + c0 + c];
        if (tied(i)) fine.b[k][c] += f[k][c];
      }
    }
    solve(levels, count, f, p, a.tolerance, a.iterations);
    // Put the mean of regions without a fixed pixel back: at the label's cell, p sums the change and r counts the
    // pixels.
    for (int64_t k = 0; k < fine.cells(); ++k) p[k] = fine.r[k] = Four{};
    for (int64_t i = 0; i < size; ++i) {
      if (a.mask[i] != 1 || anchored[a.label[i]] > 0) continue;
      int64_t k = fine.at(i / a.w, i % a.w), at = fine.at(a.label[i] / a.w, a.label[i] % a.w);
      for (int c = 0; c < lanes; ++c) p[at][c] += f[k][c] - a.x[i * a.c + c0 + c];
      fine.r[at][0] += 1;
    }
    for (int64_t i = 0; i < size; ++i) {
      int64_t k = fine.at(i / a.w, i % a.w), at = fine.at(a.label[i] / a.w, a.label[i] % a.w);
      bool floating = a.mask[i] == 1 && !(anchored[a.label[i]] > 0);
      for (int c = 0; c < lanes; ++c)
        a.y[i * a.c + c0 + c] = a.mask[i] != 1 ? a.x[i * a.c + c0 + c]
                                : floating     ? f[k][c] - p[at][c] / fine.r[at][0]
                                               : f[k][c];
    }
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
