// Weight gradient of a 3x3 convolution of stride 1 by the adjoint of F(4x4, 3x3): dW = G^T [sum over tiles of (A dY A^T) x (B^T X B)] G, 36
// sums over tiles of 4x4 pixels instead of nine over pixels, a quarter of the products. dY is transformed once; a chunk owns a panel of
// input channels and some groups of output channels of dW, transforms its X as it goes and adds the tiles in order. Where that gives few chunks
// the tiles are cut into ranges, whose sums are added in order: cut further by channels, X would be transformed again and again.
#include "winograd.h"

namespace rescunet::cpu::RESCUNET_ISA {

using namespace winograd_form;

namespace {

using Form = F4;
using Tiles = Tiling<F4>;
constexpr int kPlanes = Form::kPlanes;
constexpr int64_t kTiles = 64, kGroups = 12, kChunks = 8;  // a chunk's input and sums then stay in L2
constexpr int64_t kInputPlane = kTiles * kWidth + 16;       // not a power of two, as in winograd.cc
constexpr int64_t kSums = kPlanes * kRows * kWidth;         // of a group
constexpr int64_t kSlab = 3 * kLanes;                       // channels of dY at a time: whole vectors and whole groups

static_assert(kSlab % kRows == 0);

struct Block {
  alignas(64) float input[kPlanes * kInputPlane];                 // [plane][tile][kWidth]
  alignas(64) float sums[kGroups * kSums];                        // [group][plane][kRows][kWidth]
};

struct Problem {
  const winograd_weight_args& p;
  Tiles tiling;
  int64_t tiles, together, groups;  // of kRows channels

  explicit Problem(const winograd_weight_args& a)
      : p(a), tiling{a.x, a.n, a.ih, a.iw, a.ic, a.oh, a.ow, a.ph, a.pw}, tiles(tiling.tiles()), together(std::min(tiles, kTiles)), groups((a.oc + kRows - 1) / kRows) {}

  // Of dY: [block of tiles][plane][group][tile][kRows], in the order of reading.
  float* turned(int64_t tile, int64_t plane, int64_t group) const {
    return p.scratch + (((tile / together * kPlanes + plane) * groups + group) * together + tile % together) * kRows;
  }
};

// A dY A^T of a tile's 4x4 pixels, zero outside the image, to groups of kRows channels.
void transform_dy(const Problem& q, int64_t index) {
  const auto& p = q.p;
  const Tiles::Tile tile = q.tiling.tile(index);
  const float* from = p.y + (tile.image * p.oh + tile.y) * p.ow * p.oc + tile.x * p.oc;
  for (int64_t o0 = 0; o0 < q.groups * kRows; o0 += kSlab) {
    alignas(64) float slab[kPlanes][kSlab];
    for (int64_t o = 0; o < kSlab; o += kLanes) {
      Vec y[16], m[36];
      for (int64_t r = 0; r < 4; r++)
        for (int64_t u = 0; u < 4; u++) {
          Vec& v = y[4 * r + u];
          if (tile.y + r < p.oh && tile.x + u < p.ow) v = load(from + (r * p.ow + u) * p.oc + o0 + o, p.oc - o0 - o);
          else v = Vec{};
        }
      RESCUNET_BOTH(Form, 4, 6, output_adjoint, y, m);
      for (int k = 0; k < kPlanes; k++) store(slab[k] + o, m[k]);
    }
    const int64_t groups = std::min(kSlab / kRows, q.groups - o0 / kRows);
    float* to = q.turned(index, 0, o0 / kRows);
    for (int64_t k = 0; k < kPlanes; k++, to += q.groups * q.together * kRows)
      for (int64_t g = 0; g < groups; g++) std::memcpy(to + g * q.together * kRows, slab[k] + g * kRows, kRows * sizeof(float));
  }
}

// Sums of groups [g0, g1) over tiles [begin, end).
void multiply(const Problem& q, float* input, int64_t c0, int64_t g0, int64_t g1, int64_t begin, int64_t end, float* sums) {
  const int64_t none = 0;
  for (int64_t tile0 = begin; tile0 < end; tile0 += kTiles) {
    const int64_t count = std::min(kTiles, end - tile0);
    for (int64_t t = 0; t < count; t++) {
      const Tiles::Patch patch = q.tiling.patch(q.tiling.tile(tile0 + t), c0);
      for (int64_t v = 0; v < kWidth; v += kLanes) Tiles::transform(patch, v, q.p.ic - c0 - v, input + t * kWidth + v, kInputPlane);
    }
    const float* turned = q.turned(tile0, 0, 0);
    for (int64_t k = 0; k < kPlanes; k++)
      for (int64_t g = g0; g < g1; g++) {
        float* out[kRows];
        for (int i = 0; i < kRows; i++) out[i] = sums + (g - g0) * kSums + (k * kRows + i) * kWidth;
        tile_pixels<kRows>(turned + (k * q.groups + g) * q.together * kRows, input + k * kInputPlane, &none, 1, count, kWidth, {out, kWidth, tile0 == begin, nullptr});
      }
  }
}

// G^T M G to dW [oc, 3, 3, ic].
void write_weights(const Problem& q, const float* all, int64_t c0, int64_t g0, int64_t g1) {
  const auto& p = q.p;
  for (int64_t o = g0 * kRows; o < std::min(g1 * kRows, p.oc); o++)
    for (int v = 0; v < kVectors; v++) {
      const int64_t c = c0 + v * kLanes, columns = p.ic - c;
      const float* sums = all + (o / kRows - g0) * kSums + o % kRows * kWidth + v * kLanes;
      Vec m[36], w[9];
      for (int k = 0; k < kPlanes; k++) m[k] = load(sums + k * kRows * kWidth);
      RESCUNET_BOTH(Form, 6, 3, weight_adjoint, m, w);
      for (int64_t t = 0; t < 9; t++) {
        float* to = p.w + (o * 9 + t) * p.ic + c;
        store(to, w[t], columns);
      }
    }
}

}  // namespace

void winograd_weight(const winograd_weight_args& p, Pool& pool) {
  const Problem q(p);
  pool.split(q.tiles, 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) transform_dy(q, t);
  });
  const int64_t panels = panels_of(p.ic), least = (q.groups + kGroups - 1) / kGroups, blocks = (q.tiles + kTiles - 1) / kTiles;
  const int64_t ranges = std::clamp<int64_t>(kChunks / (panels * least), 1, blocks);
  const int64_t parts = std::max(least, std::min(q.groups, kChunks / (panels * ranges)));
  float* partial = p.scratch + kPlanes * q.groups * kRows * blocks * q.together;  // [range][panel][group][plane][kRows][kWidth]
  const auto sums = [&](int64_t range, int64_t panel, int64_t group) { return partial + ((range * panels + panel) * q.groups + group) * kSums; };
  pool.run(panels * parts * ranges, [&](int64_t chunk) {
    static thread_local Block block;
    const int64_t panel = chunk % panels, part = chunk / panels % parts, range = chunk / panels / parts;  // neighbours share their part of dY
    const int64_t g0 = part * q.groups / parts, g1 = (part + 1) * q.groups / parts;
    const int64_t begin = range * blocks / ranges * kTiles, end = std::min(q.tiles, (range + 1) * blocks / ranges * kTiles);
    float* to = ranges == 1 ? block.sums : sums(range, panel, g0);
    multiply(q, block.input, panel * kWidth, g0, g1, begin, end, to);
    if (ranges == 1) write_weights(q, to, panel * kWidth, g0, g1);
  });
  if (ranges > 1) pool.run(panels * q.groups, [&](int64_t chunk) {
    const int64_t panel = chunk / q.groups, g = chunk % q.groups;
    float* total = sums(0, panel, g);
    for (int64_t range = 1; range < ranges; range++)
      for (int64_t i = 0; i < kSums; i += kLanes) store(total + i, load(total + i) + load(sums(range, panel, g) + i));
    write_weights(q, total, panel * kWidth, g, g + 1);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
