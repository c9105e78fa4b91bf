// 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): 36 products for 16 outputs instead of 144. The input gradient is the same problem
// with turned weights.
#include "winograd.h"
#include "ending.h"

namespace rescunet::cpu::RESCUNET_ISA {

using namespace winograd_form;

namespace {

constexpr int kTiles = 4 * kRows, kColumns = 64;
constexpr int64_t kChannels = 64;  // per pass, so that a block's transformed input stays in L2
constexpr int64_t kFewTiles = 24;  // as in ops/conv2d.ts: up to so many, weights are transformed as they are used, and kept nowhere
// Floats from plane to plane. A line more than the numbers take: planes a multiple of 2 KiB apart would share two sets of the L1 cache.
constexpr int64_t kInputPlane = kTiles * kChannels + 16, kSumPlane = kTiles * kColumns + 16, kWeightPlane = kChannels * kWidth + 16;

static_assert(kColumns % kWidth == 0);

// What one block of tiles takes. Per thread, of fixed size.
struct Block {
  alignas(64) float input[kPlanes * kInputPlane];      // [plane][tile][channel]
  alignas(64) float sums[kPlanes * kSumPlane];         // [plane][tile][column]
  alignas(64) float weights[kPlanes * kWeightPlane];   // [plane][channel][column]
};

struct Problem {
  const winograd_args& p;
  Tiling tiling;
  Ending ending;
  int64_t passes;  // over the channels

  explicit Problem(const winograd_args& a)
      : p(a), tiling{a.x, a.n, a.ih, a.iw, a.ic, a.oh, a.ow, a.ph, a.pw}, ending{a.y, a.residual, a.activation, a.slope}, passes((a.ic + kChannels - 1) / kChannels) {}

  bool few() const { return tiling.tiles() <= kFewTiles; }
  int64_t channels(int64_t pass) const { return std::min(kChannels, p.ic - pass * kChannels); }
  // Where the weights of a panel and pass are kept.
  float* weights(int64_t panel, int64_t pass) const { return p.scratch + (panel * passes + pass) * kPlanes * kWeightPlane; }
};

// Channels [c, c + count) of kLanes columns from o of the kernel position t, `columns` of them real, to k [channel]. Turned: outputs are
// w's inputs and the kernel is rotated by half a turn.
void read_weights(const winograd_args& p, int64_t t, int64_t o, int64_t columns, int64_t c, int64_t count, Vec* k) {
  if (p.turned) {
    for (int64_t i = 0; i < count; i++) read(p.w + ((c + i) * 9 + 8 - t) * p.oc + o, columns, k[i]);
    return;
  }
  Vec v[kLanes] = {};
  for (int64_t j = 0; j < std::min<int64_t>(kLanes, columns); j++) read(p.w + ((o + j) * 9 + t) * p.ic + c, count, v[j]);
  transpose(v);
  for (int i = 0; i < kLanes; i++) k[i] = v[i];
}

// Weights of a panel and pass to [plane][channel][kWidth].
void transform_weights(const Problem& q, int64_t panel, int64_t pass, float* to) {
  const int64_t end = q.channels(pass);
  for (int64_t c0 = 0; c0 < end; c0 += kLanes)
    for (int v = 0; v < kVectors; v++) {
      const int64_t o = panel * kWidth + v * kLanes, count = std::min<int64_t>(kLanes, end - c0);
      Vec k[9][kLanes];
      for (int t = 0; t < 9; t++) read_weights(q.p, t, o, q.p.oc - o, pass * kChannels + c0, count, k[t]);
      for (int64_t c = 0; c < count; c++) {
        Vec half[18], u[36];
        for (int x = 0; x < 3; x++) weight_transform(&k[x][c], 3 * kLanes, half + x, 3);  // [6][3]
        for (int y = 0; y < 6; y++) weight_transform(half + 3 * y, 1, u + 6 * y, 1);        // [6][6]
        for (int i = 0; i < kPlanes; i++) store(to + i * kWeightPlane + (c0 + c) * kWidth + v * kLanes, u[i]);
      }
    }
}

void transform_input(const Problem& q, int64_t tile0, int64_t count, int64_t c0, int64_t channels, float* input) {
  for (int64_t t = 0; t < count; t++) {
    const Tiling::Tile tile = q.tiling.tile(tile0 + t);
    float* to = input + t * kChannels;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) q.tiling.transform<Vec>(tile, c0 + c, kLanes, to + c, kInputPlane);
    for (; c < channels; c++) q.tiling.transform<float>(tile, c0 + c, 1, to + c, kInputPlane);
  }
}

// Columns [j, j + width of T) of the 4x4 outputs of a tile, with the bias and what follows.
template <class T> void transform_sums(const Problem& q, const float* sums, float* to, const float* bias, int64_t height, int64_t width) {
  T m[36], half[24], y[16], b{};
  for (int k = 0; k < kPlanes; k++) read(sums + k * kSumPlane, kLanes, m[k]);
  for (int x = 0; x < 6; x++) output_transform(m + x, 6, half + x, 6);        // [4][6]
  for (int r = 0; r < 4; r++) output_transform(half + 6 * r, 1, y + 4 * r, 1);  // [4][4]
  if (bias) read(bias, kLanes, b);
  for (int64_t r = 0; r < height; r++)
    for (int64_t x = 0; x < width; x++) {
      float* at = to + (r * q.p.ow + x) * q.p.oc;
      write(at, q.ending(at, y[4 * r + x] + b));
    }
}

void write_outputs(const Problem& q, int64_t tile0, int64_t count, int64_t j0, int64_t columns, const float* sums) {
  for (int64_t t = 0; t < count; t++) {
    const auto [image, y0, x0] = q.tiling.tile(tile0 + t);
    float* to = q.p.y + ((image * q.p.oh + y0) * q.p.ow + x0) * q.p.oc + j0;
    const int64_t height = std::min<int64_t>(4, q.p.oh - y0), width = std::min<int64_t>(4, q.p.ow - x0);
    const float* bias = q.p.bias ? q.p.bias + j0 : nullptr;
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) transform_sums<Vec>(q, sums + t * kColumns + j, to + j, bias ? bias + j : nullptr, height, width);
    for (; j < columns; j++) transform_sums<float>(q, sums + t * kColumns + j, to + j, bias ? bias + j : nullptr, height, width);
  }
}

// sums [plane][tile][column] (+)= input [plane][tile][channel] weights [plane][channel][column], of one panel
void multiply(Block& block, const float* weights, int64_t tiles, int64_t panel, int64_t channels, bool first) {
  for (int64_t k = 0; k < kPlanes; k++)
    for (int64_t t = 0; t < tiles; t += kRows) {
      const float* rows[kRows];
      float* out[kRows];
      for (int i = 0; i < kRows; i++) {
        rows[i] = block.input + k * kInputPlane + (t + i) * kChannels;
        out[i] = block.sums + k * kSumPlane + (t + i) * kColumns + panel * kWidth;
      }
      tile_rows(rows, 1, channels, weights + k * kWeightPlane, {out, kWidth, first, nullptr});
    }
}

}  // namespace

void winograd(const winograd_args& p, Pool& pool) {
  const Problem q(p);
  if (!p.packed && !q.few())
    pool.run(panels_of(p.oc) * q.passes, [&](int64_t i) { transform_weights(q, i / q.passes, i % q.passes, q.weights(i / q.passes, i % q.passes)); });
  const int64_t tiles = q.tiling.tiles(), blocks = (tiles + kTiles - 1) / kTiles, groups = (p.oc + kColumns - 1) / kColumns;
  pool.run(blocks * groups, [&](int64_t chunk) {
    static thread_local Block block;
    const int64_t tile0 = chunk / groups * kTiles, count = std::min<int64_t>(kTiles, tiles - tile0);
    const int64_t j0 = chunk % groups * kColumns, columns = std::min<int64_t>(kColumns, p.oc - j0);
    for (int64_t pass = 0; pass < q.passes; pass++) {
      transform_input(q, tile0, count, pass * kChannels, q.channels(pass), block.input);
      for (int64_t panel = 0; panel < panels_of(columns); panel++) {
        const float* weights = q.few() ? block.weights : q.weights(j0 / kWidth + panel, pass);
        if (q.few()) transform_weights(q, j0 / kWidth + panel, pass, block.weights);
        multiply(block, weights, count, panel, q.channels(pass), pass == 0);
      }
    }
    write_outputs(q, tile0, count, j0, columns, block.sums);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
