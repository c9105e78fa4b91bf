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
  int64_t columns, few, steps;  // columns of a kernel position, few of them beyond whole vectors, and how many such positions there are
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
    few = ocg < kLanes ? 0 : few_columns(columns);
    steps = together ? p.kh : p.kh * p.kw;
    padded = p.scratch;
    turned = padded + (blocks * block + kWidth + 15) / 16 * 16;
  }
  int64_t pixels() const { return p.n * p.oh * p.ow; }
  int64_t groups() const { return (ocg + kRows - 1) / kRows; }
  int64_t width() const { return steps * columns; }  // of dW
  int64_t few_groups() const { return (steps * few + kRows - 1) / kRows; }

  // Where column j of kernel position k lies in the copy.
  const float* column(int64_t k, int64_t j) const {
    const int64_t ky = together ? k : k / p.kw, kx = together ? 0 : k % p.kw, b = together ? 0 : j / kWidth;
    return padded + b * block + (ky * p.dh * xp + kx * p.dw) * pixel + j - b * kWidth;
  }
  // Rows of the image from `row` on, as many as are summed up together: how many, and where they lie in the copy.
  int64_t stretches(int64_t row, int64_t* offsets) const {
    const int64_t count = std::min(std::clamp<int64_t>(kPixels / p.ow, 1, kStretches), p.n * p.oh - row);
    for (int64_t s = 0; s < count; s++) offsets[s] = ((row + s) / p.oh * yp + (row + s) % p.oh * p.sh) * xp * pixel;
    return count;
  }

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

// Channel groups [g0, g1) of dW for columns [j0, j0 + kWidth) of kernel positions [step0, step1).
void weight_part(const WeightProblem& q, int64_t j0, int64_t step0, int64_t step1, int64_t g0, int64_t g1) {
  const auto& p = q.p;
  const int64_t columns = std::min<int64_t>(kWidth, q.columns - q.few - j0);
  int64_t offsets[kStretches];
  Spare spare;
  for (int64_t row = 0, count; row < p.n * p.oh; row += count) {
    count = q.stretches(row, offsets);
    for (int64_t g = g0; g < g1; g++) {
      const int64_t real = std::min<int64_t>(kRows, q.ocg - g * kRows);
      const float* a = q.turned + (g * q.pixels() + row * p.ow) * kRows;
      const TilePixels tile = tile_pixels_of(real, columns);
      for (int64_t k = step0; k < step1; k++) {
        float* out[kRows];
        for (int i = 0; i < kRows; i++) out[i] = i < real ? q.dw + (g * kRows + i) * q.width() + k * q.columns + j0 : spare.written;
        tile(a, q.column(k, j0), offsets, count, p.ow, p.sw * q.pixel, {out, columns, row == 0, nullptr});
      }
    }
  }
}

// The few columns of every kernel position, of which this takes kRows, for kWidth output channels from o on.
void few_part(const WeightProblem& q, int64_t group, int64_t o) {
  const auto& p = q.p;
  const int64_t first = group * kRows, real = std::min<int64_t>(kRows, q.steps * q.few - first), columns = std::min<int64_t>(kWidth, q.ocg - o);
  alignas(64) float sums[kRows][kWidth] = {};
  const float* a[kRows];
  float *out[kRows], *to[kRows];
  for (int64_t i = 0; i < real; i++) {
    const int64_t k = (first + i) / q.few, j = q.columns - q.few + (first + i) % q.few;
    a[i] = q.column(k, j), out[i] = sums[i], to[i] = q.dw + o * q.width() + k * q.columns + j;
  }
  int64_t offsets[kStretches];
  for (int64_t row = 0, count; row < p.n * p.oh; row += count) {
    count = q.stretches(row, offsets);
    tile_few_pixels_of(real, columns)(a, offsets, count, p.ow, p.sw * q.pixel, q.dy + row * p.ow * p.oc + o, columns, p.oc, {out, kWidth, false, nullptr});
  }
  for (int64_t c = 0; c < columns; c++)
    for (int64_t i = 0; i < real; i++) to[i][c * q.width()] = sums[i][c];
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
    const int64_t panels = panels_of(q.columns - q.few), by_step = panels < kChunks ? q.steps : 1, parts = panels * by_step;
    const int64_t by_group = std::clamp<int64_t>(kChunks / std::max<int64_t>(parts, 1), 1, q.groups()), chunks = parts * by_group;
    pool.run(chunks + q.few_groups() * panels_of(q.ocg), [&](int64_t chunk) {
      if (chunk >= chunks) return few_part(q, (chunk - chunks) % q.few_groups(), (chunk - chunks) / q.few_groups() * kWidth);
      const int64_t part = chunk / by_group, g = chunk % by_group, panel = part / by_step, step = part % by_step;
      weight_part(q, panel * kWidth, step, by_step == 1 ? q.steps : step + 1, g * q.groups() / by_group, (g + 1) * q.groups() / by_group);
    });
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
