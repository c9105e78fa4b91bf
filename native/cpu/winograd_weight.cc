// Weight gradient of a 3x3 convolution of stride 1 by the adjoint of F(4x4, 3x3): dW = G^T [sum over tiles of (A dY A^T) x (B^T X B)] G, 36
// sums over tiles of 4x4 pixels instead of nine over pixels, a quarter of the products. dY is transformed once; a chunk owns a panel of
// input channels and some groups of output channels of dW, transforms its X as it goes and adds the tiles in order. Where that gives few chunks
// the tiles are cut into ranges, whose sums are added in order: cut further by channels, X would be transformed again and again. X may be two maps, the
// first to be upsampled: both are read where they lie.
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
  Tiles x, skip;  // skip.ic = 0: none
  const float* dy;
  int64_t oc;
  float *w, *scratch;
  int64_t channels = x.ic + skip.ic, panels = panels_of(x.ic) + panels_of(skip.ic);
  int64_t tiles = x.tiles(), together = std::min(tiles, kTiles), groups = (oc + kRows - 1) / kRows;  // of kRows channels

  // A panel's map, its first channel there, and that of dW.
  struct Columns { const Tiles& from; int64_t c, at, count; };
  Columns columns(int64_t panel) const {
    const int64_t first = panels_of(x.ic), c = (panel < first ? panel : panel - first) * kWidth;
    return panel < first ? Columns{x, c, c, x.ic - c} : Columns{skip, c, x.ic + c, skip.ic - c};
  }

  // Of dY: [block of tiles][plane][group][tile][kRows], in the order of reading.
  float* turned(int64_t tile, int64_t plane, int64_t group) const {
    return scratch + (((tile / together * kPlanes + plane) * groups + group) * together + tile % together) * kRows;
  }
};

// A dY A^T of a tile's 4x4 pixels, zero outside the image, to groups of kRows channels.
void transform_dy(const Problem& q, int64_t index) {
  const int64_t oh = q.x.oh, ow = q.x.ow;
  const Tiles::Tile tile = q.x.tile(index);
  const float* from = q.dy + ((tile.image * oh + tile.y) * ow + tile.x) * q.oc;
  for (int64_t o0 = 0; o0 < q.groups * kRows; o0 += kSlab) {
    alignas(64) float slab[kPlanes][kSlab];
    for (int64_t o = 0; o < kSlab; o += kLanes) {
      Vec y[16], m[36];
      for (int64_t r = 0; r < 4; r++)
        for (int64_t u = 0; u < 4; u++) {
          Vec& v = y[4 * r + u];
          if (tile.y + r < oh && tile.x + u < ow) v = load(from + (r * ow + u) * q.oc + o0 + o, q.oc - o0 - o);
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
void multiply(const Problem& q, float* input, const Problem::Columns& columns, int64_t g0, int64_t g1, int64_t begin, int64_t end, float* sums) {
  const int64_t none = 0;
  for (int64_t tile0 = begin; tile0 < end; tile0 += kTiles) {
    const int64_t count = std::min(kTiles, end - tile0);
    for (int64_t t = 0; t < count; t++) {
      const Tiles::Patch patch = columns.from.patch(columns.from.tile(tile0 + t), columns.c);
      for (int64_t v = 0; v < std::min<int64_t>(kWidth, columns.count); v += kLanes) Tiles::transform(patch, v, columns.count - v, input + t * kWidth + v, kInputPlane);
    }
    const float* turned = q.turned(tile0, 0, 0);
    for (int64_t k = 0; k < kPlanes; k++)
      for (int64_t g = g0; g < g1; g++) {
        float* out[kRows];
        for (int i = 0; i < kRows; i++) out[i] = sums + (g - g0) * kSums + (k * kRows + i) * kWidth;
        tile_pixels_of(std::min<int64_t>(kRows, q.oc - g * kRows), columns.count)(turned + (k * q.groups + g) * q.together * kRows, input + k * kInputPlane, &none, 1, count, kWidth, {out, columns.count <= kLanes ? kLanes : kWidth, tile0 == begin, nullptr});
      }
  }
}

// G^T M G to dW [oc, 3, 3, channels].
void write_weights(const Problem& q, const float* all, const Problem::Columns& columns, int64_t g0, int64_t g1) {
  for (int64_t o = g0 * kRows; o < std::min(g1 * kRows, q.oc); o++)
    for (int v = 0; v * kLanes < std::min<int64_t>(kWidth, columns.count); v++) {
      const float* sums = all + (o / kRows - g0) * kSums + o % kRows * kWidth + v * kLanes;
      Vec m[36], w[9];
      for (int k = 0; k < kPlanes; k++) m[k] = load(sums + k * kRows * kWidth);
      RESCUNET_BOTH(Form, 6, 3, weight_adjoint, m, w);
      for (int64_t t = 0; t < 9; t++) {
        float* to = q.w + (o * 9 + t) * q.channels + columns.at + v * kLanes;
        store(to, w[t], columns.count - v * kLanes);
      }
    }
}

void sum(const Problem& q, Pool& pool) {
  pool.split(q.tiles, 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) transform_dy(q, t);
  });
  const int64_t panels = q.panels, least = (q.groups + kGroups - 1) / kGroups, blocks = (q.tiles + kTiles - 1) / kTiles;
  const int64_t ranges = std::clamp<int64_t>(kChunks / (panels * least), 1, blocks);
  const int64_t parts = std::max(least, std::min(q.groups, kChunks / (panels * ranges)));
  float* partial = q.scratch + kPlanes * q.groups * kRows * blocks * q.together;  // [range][panel][group][plane][kRows][kWidth]
  const auto sums = [&](int64_t range, int64_t panel, int64_t group) { return partial + ((range * panels + panel) * q.groups + group) * kSums; };
  pool.run(panels * parts * ranges, [&](int64_t chunk) {
    static thread_local Block block;
    const int64_t panel = chunk % panels, part = chunk / panels % parts, range = chunk / panels / parts;  // neighbours share their part of dY
    const int64_t g0 = part * q.groups / parts, g1 = (part + 1) * q.groups / parts;
    const int64_t begin = range * blocks / ranges * kTiles, end = std::min(q.tiles, (range + 1) * blocks / ranges * kTiles);
    float* to = ranges == 1 ? block.sums : sums(range, panel, g0);
    multiply(q, block.input, q.columns(panel), g0, g1, begin, end, to);
    if (ranges == 1) write_weights(q, to, q.columns(panel), g0, g1);
  });
  if (ranges > 1) pool.run(panels * q.groups, [&](int64_t chunk) {
    const int64_t panel = chunk / q.groups, g = chunk % q.groups;
    float* total = sums(0, panel, g);
    for (int64_t range = 1; range < ranges; range++)
      for (int64_t i = 0; i < kSums; i += kLanes) store(total + i, load(total + i) + load(sums(range, panel, g) + i));
    write_weights(q, total, q.columns(panel), g, g + 1);
  });
}

}  // namespace

void winograd_weight(const winograd_weight_args& p, Pool& pool) {
  sum({{p.x, p.n, p.ih, p.iw, p.ic, p.oh, p.ow, p.ph, p.pw}, {}, p.y, p.oc, p.w, p.scratch}, pool);
}

void winograd_up_weight(const winograd_up_weight_args& p, Pool& pool) {
  sum({{p.x, p.n, p.ih, p.iw, p.ic, p.oh, p.ow, 1, 1, 1}, {p.skip, p.n, p.oh, p.ow, p.sc, p.oh, p.ow, 1, 1}, p.y, p.oc, p.w, p.scratch}, pool);
}

}  // namespace rescunet::cpu::RESCUNET_ISA
