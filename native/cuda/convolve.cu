// Which products go by warpgroups, and how each is walked. In bf16 all passes of a convolution and matmul: factors that lie in f32 are rounded into the
// workspace first, one pass over them beside the many that the product makes; a pass reads weights and maps as they lie, along k or across (tile_map.h),
// so nothing is turned. In tf32, which the hardware reads along k only and rounds by dropping bits, the forward pass and a b^T.
//
//   path            wants, in this order                              takes
//   depthwise.cu    a channel to a group
//   skinny.h        at most eight outputs or inputs
//   warpgroups      sm_90a, bf16 or tf32, one group, rows of a        tiles of 128 x {64, 128, 256} x 128 bytes
//                   multiple of 16 bytes, tiles at least half full
//   product.h       nothing                                           tiles of 64 x 64, 128 x 32, 128 x 128 x 16
#include "convolve.h"
#include <vector>
#include "product.h"
#include "warpgroup_product.h"

namespace rescunet::cuda {
namespace {

/// The numbers of a factor, how many, and whether they are bf16 already.
struct Factor {
  const float* data;
  int64_t size;
  bool stored;
  int64_t to_round() const { return stored ? 0 : ceil_divide(size, 64) * 64; }
};

/// What a factor's tiles are boxes of: matrices, or pixels [n, y.size, x.size, c].
struct View {
  MatrixLayers matrix;
  int64_t n, c;
  WalkAxis y, x;
};
View matrix(int64_t rows, int64_t columns) { return {{columns, rows, 1, columns, rows * columns}, 0, 0, {}, {}}; }
View image(int64_t n, int64_t c, const WalkAxis& y, const WalkAxis& x) { return {{}, n, c, y, x}; }

struct Problem {
  View a, b;
  Walk walk;
  Scattered c;
  int batch = 1;
};

struct Tiling { int width, splits; };

// The cut whose model of time is the least: rounds of kBlocks blocks, each with its share of steps (which take as long as they are wide) and a beginning
// and an end; parts of split sums are written and read again.
Tiling tiling_of(const Problem& p) {
  constexpr int64_t kBlocks = 132, kStart = 8 * 256, kPart = 1024, kLeast = 8;
  const Walk& walk = p.walk;
  const int64_t down = ceil_divide(walk.m, kTileRows), chunks = int64_t(walk.chunks) * walk.turns, most = p.batch > 1 ? 1 : std::clamp<int64_t>(walk.steps / kLeast, 1, 64);
  Tiling best{};
  int64_t least = INT64_MAX;
  for (int width = 64; width <= 256 && (width == 64 || chunks * 128 > width); width *= 2)
    for (int64_t splits = 1; splits <= most; splits++) {
      const int64_t tiles = down * ceil_divide(chunks, width / 64) * p.batch;
      const int64_t time = ceil_divide(tiles * splits, kBlocks) * (ceil_divide(walk.steps, splits) * (width + 32) + kStart) +
                           (splits > 1 ? splits * walk.m * walk.width * walk.turns / kPart : 0);
      if (time < least) least = time, best = {width, int(splits)};
    }
  return best;
}

__global__ void round_numbers(const float4* x, uint2* y, int64_t size) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) y[i] = {to_bf16x2(x[i].x, x[i].y), to_bf16x2(x[i].z, x[i].w)};
}

template <class T> TensorMap tensor_map(const T* data, bool pixels, const View& v, int lines) {
  return pixels ? pixels_map(data, v.n, v.c, v.y, v.x, lines) : matrix_map(data, v.matrix, lines);
}

template <class T, int kN, bool kAcrossA, bool kAcrossB, class End>
void launch_tiles(Queue& queue, const T* a, const T* b, const Problem& p, const End& end, float* parts, int splits) {
  const Walk& walk = p.walk;
  const dim3 grid(unsigned(ceil_divide(walk.m, kTileRows)), unsigned(ceil_divide(walk.chunks * walk.turns, kN / 64)), unsigned(p.batch * splits));
  const auto multiply_with = [&](const End& end) {
    constexpr size_t kBytes = size_t(kTileStages) * kTileBytes<kN> + 16 * kTileStages;
    static_assert(ColumnsOf<kN>::kBytes <= kBytes);
    launch<multiply_tiles<T, kN, kAcrossA, kAcrossB, End>>(queue, {grid, kTileThreads, kBytes}, tensor_map(a, walk.pixels_a, p.a, kAcrossA ? 64 : kTileRows),
                                                           tensor_map(b, walk.pixels_b, p.b, kAcrossB ? 64 : kN), walk, p.c, end, parts, splits);
  };
  const ProductSize size{1, walk.m, walk.turns * walk.width, 0};
  if constexpr (kMeasures<End>) measured(queue, grid.x, p.c, size, end, parts, splits, multiply_with);
  else {
    multiply_with(end);
    if (splits > 1) launch<add_splits<Scattered, Ending>>(queue, {grid_for(int64_t(size.m) * size.n, kThreads), kThreads}, parts, p.c, size, end, splits);
  }
}

/// Problems over the same factors. Everything that the workspace holds is asked for at once: it is lent for one instruction.
template <class T, bool kAcrossA, bool kAcrossB, class End>
void multiply_by_warpgroups(Queue& queue, const Factor& a, const Factor& b, const std::vector<Problem>& problems, const End& end) {
  int64_t floats = 0;
  for (const Problem& p : problems)
    if (const int splits = tiling_of(p).splits; splits > 1) floats = std::max(floats, int64_t(splits) * p.walk.m * p.walk.turns * p.walk.width);
  const int64_t rounded = sizeof(T) == 2 ? a.to_round() + b.to_round() : 0;
  char* lent = floats + rounded ? queue.workspace<char>(floats * 4 + rounded * 2) : nullptr;
  float* parts = reinterpret_cast<float*>(lent + rounded * 2);
  const auto in = [&](const Factor& f, int64_t at) {
    if (sizeof(T) == 4 || f.stored) return as<T>(f.data);
    const auto to = reinterpret_cast<Bf16*>(lent) + at;
    launch<round_numbers>(queue, {grid_for(f.size / 4, kThreads), kThreads}, reinterpret_cast<const float4*>(f.data), reinterpret_cast<uint2*>(to), f.size / 4);
    return reinterpret_cast<const T*>(to);
  };
  const T *from_a = in(a, 0), *from_b = in(b, a.to_round());
  for (const Problem& p : problems) {
    const Tiling tiling = tiling_of(p);
    if (tiling.width == 64) launch_tiles<T, 64, kAcrossA, kAcrossB>(queue, from_a, from_b, p, end, parts, tiling.splits);
    else if (tiling.width == 128) launch_tiles<T, 128, kAcrossA, kAcrossB>(queue, from_a, from_b, p, end, parts, tiling.splits);
    else launch_tiles<T, 256, kAcrossA, kAcrossB>(queue, from_a, from_b, p, end, parts, tiling.splits);
  }
}

// Corners of a walk and offsets of taps travel as bytes.
bool near(const WalkAxis& axis, int64_t reach) {
  return axis.stride <= 8 && axis.first >= -128 && axis.first < 128 && axis.upper() >= -128 && axis.upper() < 128 && reach < 256;
}

bool in_bf16(const Queue& queue, bool stored) { return queue.architecture >= 90 && (stored || queue.precision == Precision::bf16); }
bool in_tf32(const Queue& queue, bool stored) { return queue.architecture >= 90 && !stored && queue.precision == Precision::tf32; }

// Whether rows of so many numbers are rows of whole 16 bytes and fill half their tiles.
template <class T> bool fills(int64_t numbers) { return numbers % (16 / int64_t(sizeof(T))) == 0 && 2 * numbers >= kLineElements<T>; }

int chunks_of(int64_t numbers) { return int(ceil_divide(numbers, 64)); }
Scattered lines(float* y, int64_t rows, int64_t stride) { return {y, 1, int(rows), int(stride), 1, 1, 0, 0, Divisor(rows), Divisor(1)}; }

template <class T, class End> bool convolve_in(const conv2d_args& c, const End& end, Queue& queue) {
  const WalkAxis y{c.ih, int(c.sh), int(-c.ph), int(c.oh)}, x{c.iw, int(c.sw), int(-c.pw), int(c.ow)};
  if (!fills<T>(c.ic) || !near(y, (c.kh - 1) * c.dh) || !near(x, (c.kw - 1) * c.dw) || !aligned16(c.x, c.w) || c.n == 0 || c.groups > 1 || c.beside) return false;
  const int64_t taps = c.kh * c.kw, blocks = ceil_divide(c.ic, kLineElements<T>);
  const Walk walk{int(c.n * c.oh * c.ow), int(c.oc), chunks_of(c.oc), 1, int(blocks), int(taps * blocks), int(c.kw), 0, int(c.kw * c.ic), int(c.ic), true, false,
                  {int(c.sh), int(-c.ph), int(c.dh)}, {int(c.sw), int(-c.pw), int(c.dw)}, Divisor(c.ow), Divisor(c.oh)};
  const Scattered to{c.y, int(c.oh), int(c.ow), int(c.oc), 1, 1, 0, 0, Divisor(c.ow), Divisor(c.oh)};
  multiply_by_warpgroups<T, false, false>(queue, {c.x, c.n * c.ih * c.iw * c.ic, bool(c.stored & 1)}, {c.w, c.oc * taps * c.ic, false},
                                          {{image(c.n, c.ic, y, x), matrix(c.oc, taps * c.ic), walk, to}}, end);
  return true;
}

}  // namespace

template <class End> bool convolve_by_warpgroups(const conv2d_args& p, const End& end, Queue& queue) {
  return in_bf16(queue, p.stored & 1) ? convolve_in<Bf16>(p, end, queue) : in_tf32(queue, p.stored & 1) && convolve_in<float>(p, end, queue);
}
template bool convolve_by_warpgroups(const conv2d_args&, const Ending&, Queue&);
template bool convolve_by_warpgroups(const conv2d_args&, const Measured&, Queue&);

// One problem per parity of the position: pixels of dy under the taps that reach it, from the last to the first, since taps lie behind a walk's position.
bool input_by_warpgroups(const conv2d_input_args& p, const Ending& end, Queue& queue) {
  if (!in_bf16(queue, p.stored & 1) || p.groups > 1 || !fills<Bf16>(p.oc) || p.wc % 8 || p.w0 % 8 || !aligned16(p.y, p.w) || p.n == 0) return false;
  const int64_t taps = p.kh * p.kw, blocks = ceil_divide(p.oc, kLineElements<Bf16>);
  std::vector<Problem> problems;
  for (int64_t qy = 0; qy < std::min(p.sh, p.ih); qy++)
    for (int64_t qx = 0; qx < std::min(p.sw, p.iw); qx++) {
      const int64_t h = ceil_divide(p.ih - qy, p.sh), w = ceil_divide(p.iw - qx, p.sw);
      const Parity down(qy, p.kh, p.sh, p.ph, p.dh), across(qx, p.kw, p.sw, p.pw, p.dw);
      const bool any = down.count && across.count;
      const auto first = [](const Parity& q) { return int(q.offset + q.slope * (q.count - 1)); };
      const WalkAxis y{p.oh, 1, any ? first(down) : 0, int(h)}, x{p.ow, 1, any ? first(across) : 0, int(w)};
      if (!near(y, -down.slope * (down.count - 1)) || !near(x, -across.slope * (across.count - 1))) return false;
      const auto last = [](const Parity& q) { return q.first + q.step * (q.count - 1); };
      const Walk walk{int(p.n * h * w), int(p.ic), chunks_of(p.ic), 1, int(blocks), int(any ? down.count * across.count * blocks : 0), int(std::max<int64_t>(across.count, 1)),
                      int(p.w0 + (any ? (last(down) * p.kw + last(across)) * p.wc : 0)), int(-down.step * p.kw * p.wc), int(-across.step * p.wc), true, false,
                      {1, y.first, int(-down.slope)}, {1, x.first, int(-across.slope)}, Divisor(w), Divisor(h)};
      const Scattered to{p.x, int(p.ih), int(p.iw), int(p.ic), int(p.sh), int(p.sw), int(qy), int(qx), Divisor(w), Divisor(h)};
      problems.push_back({image(p.n, p.oc, y, x), matrix(p.oc, taps * p.wc), walk, to});
    }
  multiply_by_warpgroups<Bf16, false, true>(queue, {p.y, p.n * p.oh * p.ow * p.oc, bool(p.stored & 1)}, {p.w, p.oc * taps * p.wc, false}, problems, end);
  return true;
}

// dW [oc, (tap, ic)] = dY^T [oc, pixels] X [pixels, (tap, ic)]: both read across, a run of columns per tap.
bool weight_by_warpgroups(const conv2d_weight_args& p, Queue& queue) {
  const WalkAxis y{p.ih, int(p.sh), int(-p.ph), int(p.oh)}, x{p.iw, int(p.sw), int(-p.pw), int(p.ow)};
  const int64_t pixels = p.n * p.oh * p.ow, taps = p.kh * p.kw;
  if (!in_bf16(queue, p.stored & 1) || p.groups > 1 || p.beside || !fills<Bf16>(p.ic) || !fills<Bf16>(p.oc) || !near(y, (p.kh - 1) * p.dh) || !near(x, (p.kw - 1) * p.dw) ||
      !aligned16(p.x, p.y) || pixels == 0)
    return false;
  const int steps = int(ceil_divide(pixels, kLineElements<Bf16>));
  const Walk walk{int(p.oc), int(p.ic), chunks_of(p.ic), int(taps), steps, steps, int(p.kw), 0, 0, 0, false, true,
                  {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)}, Divisor(p.ow), Divisor(p.oh)};
  multiply_by_warpgroups<Bf16, true, true>(queue, {p.y, pixels * p.oc, bool(p.stored & 1)}, {p.x, p.n * p.ih * p.iw * p.ic, bool(p.stored & 1)},
                                           {{matrix(pixels, p.oc), image(p.n, p.ic, y, x), walk, lines(p.w, p.oc, taps * p.ic)}}, Ending());
  return true;
}

namespace {

template <class T, bool kTa, bool kTb> bool matmul_in(const matmul_args& p, Queue& queue) {
  const int64_t lda = kTa ? p.m : p.k, ldb = kTb ? p.k : p.n, sixteen = 16 / int64_t(sizeof(T));
  if (!fills<T>(lda) || !fills<T>(ldb) || 2 * p.k < kLineElements<T> || p.astride % sixteen || p.bstride % sixteen || !aligned16(p.a, p.b) || p.batch * p.m == 0) return false;
  if (p.batch > 1 && (p.astride == 0 || p.bstride == 0)) return false;
  const int steps = int(ceil_divide(p.k, kLineElements<T>));
  const Walk walk{int(p.m), int(p.n), chunks_of(p.n), 1, steps, steps, 1, 0, 0, 0, false, false, {}, {}, Divisor(), Divisor()};
  const auto view = [&](bool across, int64_t rows, int64_t stride) {
    View v = across ? matrix(p.k, rows) : matrix(rows, p.k);
    if (p.batch > 1) v.matrix.layers = p.batch, v.matrix.layer_stride = stride;
    return v;
  };
  const auto size = [&](int64_t rows, int64_t stride) { return stride * (p.batch - 1) + rows * p.k; };
  multiply_by_warpgroups<T, kTa, !kTb>(queue, {p.a, size(p.m, p.astride), false}, {p.b, size(p.n, p.bstride), false},
                                       {{view(kTa, p.m, p.astride), view(!kTb, p.n, p.bstride), walk, lines(p.c, p.m, p.n), int(p.batch)}}, Ending(p.bias));
  return true;
}

}  // namespace

bool matmul_by_warpgroups(const matmul_args& p, Queue& queue) {
  if (in_tf32(queue, false) && !p.ta && p.tb) return matmul_in<float, false, true>(p, queue);
  if (!in_bf16(queue, false) || (p.ta && p.tb)) return false;
  return p.ta ? matmul_in<Bf16, true, false>(p, queue) : p.tb ? matmul_in<Bf16, false, true>(p, queue) : matmul_in<Bf16, false, false>(p, queue);
}

}  // namespace rescunet::cuda
