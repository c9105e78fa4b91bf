// 3x3 convolution of stride 1 by Winograd's forms: fewer products between transformed inputs and transformed weights. The input gradient is the
// same problem with turned weights. Where weights are kept, the transformed numbers may be rounded to bf16 for the products.
#include "winograd.h"
#include "ending.h"

namespace rescunet::cpu::RESCUNET_ISA {

using namespace winograd_form;

namespace {

constexpr int64_t kChannels = 256;     // in float, per pass: partial sums of so many terms keep the error of a long sum away
constexpr int64_t kFewChannels = 64;   // where weights are transformed as they are used, and have to stay in L2 meanwhile
constexpr int64_t kPanels = 2;         // summed up before they are transformed
constexpr int64_t kChunks = 8;
template <class T> constexpr int64_t kInWord = sizeof(float) / sizeof(T);  // what is multiplied: float or, two neighbouring channels in a word, bf16

// What one block of tiles takes. Per thread, of fixed size. Planes are a line apart: a multiple of 2 KiB apart they would share two sets of the L1
// cache.
template <class Form, class T> struct Block {
  // A block's transformed input, of up to kTiles tiles, stays in L2: in bf16 of passes twice as long, for fewer sums to be read again.
  static constexpr int64_t kTiles = (Form::kPlanes < 16 ? 8 : 4) * kRows, kRoom = (Form::kPlanes < 16 ? 64 : 16) * kChannels * kInWord<T>;
  static constexpr int64_t kInputPlane = kRoom + 64 / sizeof(T), kSumPlane = kTiles * kWidth + 16;
  alignas(64) T input[Form::kPlanes * kInputPlane];                                    // [plane][tile][channel]
  alignas(64) float sums[kPanels][Form::kPlanes * kSumPlane];                          // [plane][tile][column]
  alignas(64) float weights[Form::kPlanes * (kFewChannels * kWidth + 16)];             // [plane][channel][column]
};

// One source of a convolution, or the only one.
struct Source {
  const float *x, *w;
  int64_t n, ih, iw, ic;
  int64_t taps;     // floats from one kernel position of w to the next
  bool turned;      // outputs are w's inputs, and the kernel is rotated by half a turn
  float* y;
  int64_t oh, ow, oc, ph, pw;  // of the convolution; a halved form writes half as many rows and columns
  const float* bias;
  Ending ending;    // also adds what another source left
  float* scratch;
  bool kept, packed;  // the transformed weights are in scratch: from this run on; from an earlier one
};

template <class Form, class T> struct Problem {
  static constexpr int64_t kScale = Form::kOut / Form::kWritten;
  const Source& p;
  Tiling<Form> tiling;
  int64_t depth, passes;  // channels per pass
  int64_t stride = (depth + kLanes - 1) / kLanes * kLanes;  // from tile to tile
  int64_t tiles;          // per block
  int64_t height = p.oh / kScale, width = p.ow / kScale;  // as written
  int64_t few = kInWord<T> == 1 ? few_columns(p.ic, p.oc) : 0, columns = p.oc - few, panels = panels_of(columns) + (few > 0);  // the last panel is of the few

  explicit Problem(const Source& s)
      : p(s), tiling{s.x, s.n, s.ih, s.iw, s.ic, s.oh, s.ow, s.ph, s.pw}, depth(std::min(s.ic, s.kept ? kChannels * kInWord<T> : kFewChannels)),
        passes((s.ic + depth - 1) / depth),
        tiles(std::clamp<int64_t>(Block<Form, T>::kRoom / stride / kRows, 1, Block<Form, T>::kTiles / kRows) * kRows) {}

  int64_t channels(int64_t pass) const { return std::min(depth, p.ic - pass * depth); }
  bool is_few(int64_t panel) const { return panel == panels_of(columns); }
  int64_t first(int64_t panel) const { return std::min(panel * kWidth, columns); }
  int64_t count(int64_t panel) const { return is_few(panel) ? few : std::min<int64_t>(kWidth, columns - first(panel)); }
  static int64_t words(int64_t channels) { return (channels + kInWord<T> - 1) / kInWord<T>; }
  // Words from plane to plane of the weights of a panel and pass, and where they are kept.
  int64_t plane(int64_t pass) const { return words(channels(pass)) * kWidth + 16; }
  float* weights(int64_t panel, int64_t pass) const {
    return p.scratch + Form::kPlanes * (panel * (words(p.ic) * kWidth + 16 * passes) + pass * (words(depth) * kWidth + 16));
  }
};

// Channels [c, c + count) of kLanes columns from o of the kernel position t, `columns` of them real, to k [channel]. Fetches those of the next
// kLanes channels: they lie in as many rows far apart as no prefetcher follows.
void read_weights(const Source& p, int64_t t, int64_t o, int64_t columns, int64_t c, int64_t count, Vec* k) {
  if (p.turned) {
    for (int64_t i = 0; i < count; i++) {
      const float* row = p.w + ((c + i) * 9 + 8 - t) * p.taps + o;
      __builtin_prefetch(row + kLanes * 9 * p.taps);
      k[i] = load(row, columns);
    }
    return;
  }
  Vec v[kLanes] = {};
  for (int64_t j = 0; j < std::min<int64_t>(kLanes, columns); j++) {
    const float* row = p.w + ((o + j) * 9 + t) * p.taps + c;
    __builtin_prefetch(row + kLanes);
    v[j] = load(row, count);
  }
  transpose(v);
  for (int i = 0; i < kLanes; i++) k[i] = v[i];
}

// Weights of a panel and pass to [plane][word][kWidth], of few columns to [plane][column][channel].
template <class Form, class T> void transform_weights(const Problem<Form, T>& q, int64_t panel, int64_t pass, float* to) {
  const int64_t end = q.channels(pass);
  for (int64_t c0 = 0; c0 < end; c0 += kLanes)
    for (int64_t j = 0; j < q.count(panel); j += kLanes) {
      const int64_t o = q.first(panel) + j, count = std::min<int64_t>(kLanes, end - c0);
      Vec k[9][kLanes];
      for (int t = 0; t < 9; t++) read_weights(q.p, t, o, q.p.oc - o, pass * q.depth + c0, count, k[t]);
      for (int64_t c = 0; c < count; c += kInWord<T>) {
        Vec u[kInWord<T>][Form::kPlanes] = {};
        for (int64_t i = 0; i < std::min(kInWord<T>, count - c); i++) {
          Vec g[9];
          for (int t = 0; t < 9; t++) g[t] = k[t][c + i];
          RESCUNET_BOTH(Form, 3, Form::kIn, weight, g, u[i]);
        }
        float* at = to + (q.is_few(panel) ? c0 + c : (c0 + c) / kInWord<T> * kWidth + j);
        for (int i = 0; i < Form::kPlanes; i++, at += q.plane(pass)) {
          if constexpr (kInWord<T> == 2) store_pairs(reinterpret_cast<uint16_t*>(at), u[0][i], u[1][i]);
          else if (!q.is_few(panel)) store(at, u[0][i]);
          else for (int64_t f = 0; f < q.few; f++) at[f * end] = u[0][i][f];
        }
      }
    }
}

template <class Form, class T>
inline __attribute__((always_inline)) void transform_tiles(const Problem<Form, T>& q, int64_t tile0, int64_t count, int64_t pass, T* input) {
  const int64_t channels = q.channels(pass);
  for (int64_t t = 0; t < count; t++) {
    const auto patch = q.tiling.patch(q.tiling.tile(tile0 + t), pass * q.depth);
    T* to = input + t * q.stride;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) q.tiling.transform(patch, c, kLanes, to + c, Block<Form, T>::kInputPlane);
    if (c < channels) q.tiling.transform(patch, c, channels - c, to + c, Block<Form, T>::kInputPlane);
  }
}
// Apart, since what rounds to bf16 is inlined only where the instruction is allowed.
template <class Form> void transform_input(const Problem<Form, float>& q, int64_t tile0, int64_t count, int64_t pass, float* input) {
  transform_tiles(q, tile0, count, pass, input);
}
template <class Form> RESCUNET_BF16 void transform_input(const Problem<Form, uint16_t>& q, int64_t tile0, int64_t count, int64_t pass, uint16_t* input) {
  transform_tiles(q, tile0, count, pass, input);
}

// sums [plane][tile][column] (+)= input [plane][tile][channel] weights [plane][word][column], of one panel
template <class Form, class T> void multiply(const Problem<Form, T>& q, const T* input, const float* weights, int64_t count, int64_t panel, int64_t pass, float* sums) {
  using B = Block<Form, T>;
  const int64_t columns = q.is_few(panel) ? q.few : q.count(panel) <= kLanes ? kLanes : kWidth, channels = q.channels(pass);
  for (int64_t k = 0; k < Form::kPlanes; k++)
    for (int64_t t = 0; t < count; t += kRows) {
      const T* rows[kRows];
      float* out[kRows];
      for (int i = 0; i < kRows; i++) {
        rows[i] = input + k * B::kInputPlane + (t + i) * q.stride;
        out[i] = sums + k * B::kSumPlane + (t + i) * kWidth;
      }
      const float* w = weights + k * q.plane(pass);
      const Target target{out, columns, pass == 0, nullptr};
      if constexpr (kInWord<T> == 2) tile_pairs(rows, 1, q.words(channels), reinterpret_cast<const uint16_t*>(w), target);
      else q.is_few(panel) ? tile_few(rows, 1, channels, w, channels, target) : tile_rows(rows, 1, channels, w, target);
    }
}

// Up to kLanes columns of the outputs of a tile from `channel` on, with the bias and what follows.
template <class Form, class T> inline void transform_sums(const Problem<Form, T>& q, const float* sums, float* to, int64_t columns, int64_t channel, int64_t height, int64_t width) {
  Vec m[Form::kPlanes], y[Form::kWritten * Form::kWritten];
#pragma GCC unroll 36
  for (int k = 0; k < Form::kPlanes; k++) m[k] = load(sums + k * Block<Form, T>::kSumPlane);
  RESCUNET_BOTH(Form, Form::kIn, Form::kWritten, output, m, y);
  const Vec b = q.p.bias ? load(q.p.bias + channel, columns) : Vec{};
  for (int64_t r = 0; r < height; r++)
    for (int64_t x = 0; x < width; x++) {
      float* at = to + (r * q.width + x) * q.p.oc;
      store(at, q.p.ending(at, channel, y[Form::kWritten * r + x] + b, columns), columns);
    }
}

// One panel of the outputs.
template <class Form, class T> void write_outputs(const Problem<Form, T>& q, int64_t tile0, int64_t count, int64_t panel, const float* sums) {
  const int64_t j0 = q.first(panel), columns = q.count(panel);
  for (int64_t t = 0; t < count; t++) {
    const auto [image, y0, x0] = q.tiling.tile(tile0 + t);
    const int64_t y = y0 / q.kScale, x = x0 / q.kScale;
    float* to = q.p.y + ((image * q.height + y) * q.width + x) * q.p.oc + j0;
    const int64_t height = std::min<int64_t>(Form::kWritten, q.height - y), width = std::min<int64_t>(Form::kWritten, q.width - x);
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) transform_sums(q, sums + t * kWidth + j, to + j, kLanes, j0 + j, height, width);
    if (j < columns) transform_sums(q, sums + t * kWidth + j, to + j, columns - j, j0 + j, height, width);
  }
}

// A block of tiles for panels [p0, p1). The input is transformed again for every kPanels of them where it takes more than one pass.
template <class Form, class T> void block_of_tiles(const Problem<Form, T>& q, int64_t tile0, int64_t count, int64_t p0, int64_t p1) {
  static thread_local Block<Form, T> block;
  for (int64_t first = p0; first < p1; first += kPanels) {
    const int64_t panels = std::min(kPanels, p1 - first);
    for (int64_t pass = 0; pass < q.passes; pass++) {
      if (q.passes > 1 || first == p0) transform_input(q, tile0, count, pass, block.input);
      for (int64_t i = 0; i < panels; i++) {
        const float* weights = q.p.kept ? q.weights(first + i, pass) : block.weights;
        if (!q.p.kept) transform_weights(q, first + i, pass, block.weights);
        multiply(q, block.input, weights, count, first + i, pass, block.sums[i]);
      }
    }
    for (int64_t i = 0; i < panels; i++) write_outputs(q, tile0, count, first + i, block.sums[i]);
  }
}

template <class Form, class T> void convolve(const Source& p, Pool& pool) {
  const Problem<Form, T> q(p);
  const int64_t panels = q.panels, tiles = q.tiling.tiles(), blocks = (tiles + q.tiles - 1) / q.tiles;
  if (p.kept && !p.packed)
    pool.run(panels * q.passes, [&](int64_t i) { transform_weights(q, i / q.passes, i % q.passes, q.weights(i / q.passes, i % q.passes)); });
  const int64_t groups = std::clamp<int64_t>(kChunks / blocks, 1, (panels + kPanels - 1) / kPanels);
  pool.run(blocks * groups, [&](int64_t chunk) {
    const int64_t tile0 = chunk / groups * q.tiles, group = chunk % groups;
    block_of_tiles(q, tile0, std::min(q.tiles, tiles - tile0), group * panels / groups, (group + 1) * panels / groups);
  });
}

template <class Form> void convolve(const Source& s, bool bf16, Pool& pool) {
  if (bf16 && s.kept && has_bf16()) convolve<Form, uint16_t>(s, pool);
  else convolve<Form, float>(s, pool);
}

void convolve(const Source& s, int64_t tile, bool halved, bool bf16, Pool& pool) {
  if (halved) tile == F2::kOut ? convolve<Halved<F2>, float>(s, pool) : convolve<Halved<F4>, float>(s, pool);
  else tile == F2::kOut ? convolve<F2>(s, bf16, pool) : convolve<F4>(s, bf16, pool);
}

}  // namespace

void winograd(const winograd_args& p, Pool& pool) {
  convolve({p.x, p.w + p.w0, p.n, p.ih, p.iw, p.ic, p.wc, p.turned != 0, p.y, p.oh, p.ow, p.oc, p.ph, p.pw, p.bias, {p.y, p.residual, p.activation, p.slope, p.slopes}, p.scratch, p.kept != 0, p.packed != 0},
           p.tile, p.halved != 0, p.bf16 != 0, pool);
}

void winograd_up(const winograd_up_args& p, Pool& pool) {
  const int64_t channels = p.ic + p.sc, small = 9 * ((p.ic + 63) / 64) * (2 * ((p.oc + 63) / 64) + (p.oc % 16 != 0)) * 64 * 33;  // as conv2d_forms.ts has it
  const Ending last{p.y, p.residual, p.activation, p.slope, p.slopes};
  const Source up{p.x, p.w, p.n, p.ih, p.iw, p.ic, channels, false, p.y, p.oh, p.ow, p.oc, 1, 1, p.bias, p.skip ? Ending{} : last, p.scratch, p.kept != 0, p.packed != 0};
  convolve<Up>(up, p.bf16 != 0, pool);
  if (!p.skip) return;
  if (p.residual) pool.split(p.n * p.oh * p.ow * p.oc, 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.y[i] += p.residual[i];
  });
  const Ending sum{p.y, p.y, p.activation, p.slope, p.slopes};  // what is there is the residual of what is added
  convolve({p.skip, p.w + p.ic, p.n, p.oh, p.ow, p.sc, channels, false, p.y, p.oh, p.ow, p.oc, 1, 1, nullptr, sum, p.scratch + (p.kept ? small : 0), p.kept != 0, p.packed != 0}, p.tile, false, p.bf16 != 0, pool);
}

}  // namespace rescunet::cpu::RESCUNET_ISA
