// Weight gradient: dW [oc, kh, kw, ic] = sum over output pixels of dY [pixel, oc] X [pixel under the tap, ic]. X is copied once
// with its padding, so that a panel of columns is read where it lies for every tap, one stretch of an output row at a time; dY
// is copied once into groups of kRows channels. A chunk owns its part of dW and adds its blocks of pixels in order, so the result does not
// depend on the threads. A kernel of one position: pointwise.cc.
#include "depthwise.h"
#include "pointwise.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kPixels = 256, kStretches = 256, kChunks = 16, kThinChannels = 64;

namespace {

struct WeightProblem {
  const conv2d_weight_args& p;
  const float* x;  // of this group
  const float* dy;
  float* dw;
  int64_t icg, ocg, yp, xp;  // padded size, as far as the kernel reaches
  int64_t pixel;             // floats from pixel to pixel in the copy
  int64_t blocks, block;     // channel blocks and the floats of one
  int64_t columns, steps;    // columns of a kernel position, and how many such positions there are
  bool together;             // a row of the kernel is one run of columns
  float *padded, *turned;

  WeightProblem(const conv2d_weight_args& a, int64_t group) : p(a) {
    icg = p.ic / p.groups, ocg = p.oc / p.groups;
    x = p.x + group * icg, dy = p.y + group * ocg, dw = p.w + group * ocg * p.kh * p.kw * icg;
    yp = (p.oh - 1) * p.sh + (p.kh - 1) * p.dh + 1, xp = (p.ow - 1) * p.sw + (p.kw - 1) * p.dw + 1;
    // Few channels: the positions of a kernel row lie together. Many: blocks of kWidth, since pixels far apart share cache sets.
    together = (icg % kWidth || p.kw == 1) && icg < kThinChannels && (p.dw == 1 || p.kw == 1);
    pixel = together ? icg : kWidth;
    blocks = together ? 1 : panels_of(icg);
    block = p.n * yp * xp * pixel;
    columns = together ? p.kw * icg : icg;
    steps = together ? p.kh : p.kh * p.kw;
    padded = p.scratch;
    turned = padded + (blocks * block + kWidth + 15) / 16 * 16;
  }
  int64_t pixels() const { return p.n * p.oh * p.ow; }
  int64_t groups() const { return (ocg + kRows - 1) / kRows; }

  void copy_x(Pool& pool) const {
    pool.split(p.n * yp, 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const int64_t iy = row % yp - p.ph;
        const int64_t left = std::min(p.pw, xp), right = std::max(left, std::min(xp, p.pw + p.iw));
        const float* from = x + (row / yp * p.ih + iy) * p.iw * p.ic;
        for (int64_t b = 0; b < blocks; b++) {
          float* to = padded + b * block + row * xp * pixel;
          if (iy < 0 || iy >= p.ih) {
            std::memset(to, 0, xp * pixel * sizeof(float));
            continue;
          }
          std::memset(to, 0, left * pixel * sizeof(float));
          const int64_t length = std::min(pixel, icg - b * pixel);
          if (length == p.ic && length == pixel) std::memcpy(to + left * pixel, from + (left - p.pw) * p.ic, (right - left) * pixel * sizeof(float));
          else
            for (int64_t i = left; i < right; i++) copy_pixel(from + (i - p.pw) * p.ic + b * pixel, length, to + i * pixel);
          std::memset(to + right * pixel, 0, (xp - right) * pixel * sizeof(float));
        }
      }
    });
    std::memset(padded + blocks * block, 0, kWidth * sizeof(float));  // the last panel reads on
  }

  void copy_pixel(const float* from, int64_t length, float* to) const {
    if (length == kWidth) {
      for (int j = 0; j < kVectors; j++) store(to + j * kLanes, load(from + j * kLanes));
      return;
    }
    for (int64_t c = 0; c < length; c++) to[c] = from[c];
    for (int64_t c = length; c < pixel; c++) to[c] = 0.f;
  }

  // dY to [group of channels][pixel][kRows], zero beyond the last channel.
  void turn_dy(Pool& pool) const {
    pool.split(pixels(), 64, [&](int64_t begin, int64_t end) {
      for (int64_t o = 0; o < ocg; o += kRows) {
        float* to = turned + o * pixels() + begin * kRows;
        const float* from = dy + begin * p.oc + o;
        const int64_t rows = std::min<int64_t>(kRows, ocg - o);
        if (rows == kRows) {
          for (int64_t m = begin; m < end; m++, to += kRows, from += p.oc)
            for (int i = 0; i < kRows; i++) to[i] = from[i];
          continue;
        }
        for (int64_t m = begin; m < end; m++, to += kRows, from += p.oc)
          for (int64_t i = 0; i < kRows; i++) to[i] = i < rows ? from[i] : 0.f;
      }
    });
  }
};

// Channel groups [g0, g1) of dW for columns [j0, j0 + panels * kWidth) of every kernel position, or of one when `step` is given.
void weight_part(const WeightProblem& q, int64_t block, int64_t j0, int64_t step0, int64_t step1, int64_t g0, int64_t g1) {
  const auto& p = q.p;
  const int64_t width = p.kh * p.kw * q.icg, columns = std::min<int64_t>(kWidth, q.columns - block * kWidth * !q.together - j0);
  const int64_t rows = p.n * p.oh, at_once = std::clamp<int64_t>(kPixels / p.ow, 1, kStretches);
  const float* x = q.padded + block * q.block + j0;
  Spare spare;
  for (int64_t row = 0; row < rows; row += at_once) {
    const int64_t count = std::min(at_once, rows - row);
    int64_t offsets[kStretches];
    for (int64_t s = 0; s < count; s++) {
      const int64_t image = (row + s) / p.oh, oy = (row + s) % p.oh;
      offsets[s] = (image * q.yp + oy * p.sh) * q.xp * q.pixel;
    }
    for (int64_t g = g0; g < g1; g++) {
      const int64_t real = std::min<int64_t>(kRows, q.ocg - g * kRows);
      const float* a = q.turned + (g * q.pixels() + row * p.ow) * kRows;
      const TilePixels tile = tile_pixels_of(real, columns);
      for (int64_t k = step0; k < step1; k++) {
        const int64_t ky = q.together ? k : k / p.kw, kx = q.together ? 0 : k % p.kw;
        float* out[kRows];
        float* to = q.dw + g * kRows * width + (q.together ? ky * q.columns + j0 : k * q.icg + block * kWidth);
        for (int i = 0; i < kRows; i++) out[i] = i < real ? to + i * width : spare.written;
        tile(a, x + (ky * p.dh * q.xp + kx * p.dw) * q.pixel, offsets, count, p.ow, p.sw * q.pixel, {out, columns, row == 0, nullptr});
      }
    }
  }
}

}  // namespace

void conv2d_weight(const conv2d_weight_args& p, Pool& pool) {
  if (p.n == 0) return void(std::memset(p.w, 0, p.oc * p.kh * p.kw * (p.ic / p.groups) * sizeof(float)));
  if (p.ic == p.groups && p.oc == p.groups) return depthwise_weight(p, pool);
  if (p.kh * p.kw == 1 && p.ph + p.pw == 0) return pointwise_weight(p, pool);
  for (int64_t group = 0; group < p.groups; group++) {
    const WeightProblem q(p, group);
    q.copy_x(pool);
    q.turn_dy(pool);
    // A chunk is a panel for all kernel positions, which then share a reading of X, unless that leaves threads idle.
    const int64_t panels = q.together ? panels_of(q.columns) : q.blocks;
    const int64_t by_step = panels < kChunks ? q.steps : 1, parts = panels * by_step;
    const int64_t by_group = std::clamp<int64_t>(kChunks / parts, 1, q.groups());
    pool.run(parts * by_group, [&](int64_t chunk) {
      const int64_t part = chunk / by_group, g = chunk % by_group, panel = part / by_step, step = part % by_step;
      weight_part(q, q.together ? 0 : panel, q.together ? panel * kWidth : 0, step, by_step == 1 ? q.steps : step + 1, g * q.groups() / by_group,
                  (g + 1) * q.groups() / by_group);
    });
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
