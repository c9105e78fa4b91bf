// Z-buffer rasteriser. Vertices are snapped to 1/4096 of a pixel and edges are evaluated in integers, so that
// neighbouring triangles agree exactly about every pixel centre: a surface has no holes, and coverage is the same on
// every machine. Edges belong to both triangles; the larger z wins, and at equal z the lower triangle number.
//
// Most triangles of a face are smaller than a pixel or two. Which of 4x4 pixel centres they cover is found for a vector of
// them at once, in 32 bits; only those that cover one are drawn, and of these only the pixels covered.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

constexpr int kBits = 12;
constexpr int64_t kOne = 1 << kBits;
constexpr int32_t kNowhere = INT32_MIN;  // not finite, or further than 2^17 pixels from the origin
constexpr int kBands = 16;               // horizontal bands of the image, each with a bit set of the triangles it draws
constexpr int64_t kGrain = 4096;         // a multiple of 64

// First pixel at or after, last pixel at or before a snapped coordinate.
inline int64_t ceil_pixel(int64_t v) { return (v + kOne - 1) >> kBits; }
inline int64_t floor_pixel(int64_t v) { return v >> kBits; }
inline int64_t least(int64_t a, int64_t b, int64_t c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }
inline int64_t most(int64_t a, int64_t b, int64_t c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

void snap(const float* vertices, int32_t* points, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    float x = vertices[3 * i], y = vertices[3 * i + 1], z = vertices[3 * i + 2];
    bool usable =
        std::fabs(x) < 131072.0f && std::fabs(y) < 131072.0f && std::fabs(z) <= std::numeric_limits<float>::max();
    x *= float(kOne), y *= float(kOne);
    points[2 * i] = usable ? int32_t(x + (x < 0 ? -0.5f : 0.5f)) : kNowhere;
    points[2 * i + 1] = usable ? int32_t(y + (y < 0 ? -0.5f : 0.5f)) : kNowhere;
  }
}

inline int32_t clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
constexpr int kSide = 4;  // pixel centres across a small triangle, at most

inline Ints least(Ints a, Ints b, Ints c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }
inline Ints most(Ints a, Ints b, Ints c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

inline bool any(Ints mask) {
  uint64_t words[sizeof mask / 8], all = 0;
  std::memcpy(words, &mask, sizeof mask);
  for (uint64_t word : words) all |= word;
  return all != 0;
}

// How many centres from 0 on lie up to the largest of these.
inline int centres(Ints to) {
  int count = 1;
  while (count < kSide && any(to >= count * int32_t(kOne))) ++count;
  return count;
}

// kLanes triangles: the first row of centres that a small one may cover, and which centres it does (bit 4 i + j).
struct Squares {
  int32_t top[kLanes], covered[kLanes], large[kLanes];
};

inline void cover(const rasterize_args& a, const int32_t* points, int64_t first, Squares& squares) {
  int32_t corners[6][kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int32_t* t = a.triangles + 3 * (first + lane < a.count ? first + lane : first);
    for (int k = 0; k < 3; ++k) {
      corners[2 * k][lane] = points[2 * int64_t(t[k])];
      corners[2 * k + 1][lane] = points[2 * int64_t(t[k]) + 1];
    }
  }
  Ints px, py, qx, qy, rx, ry;
  Ints* const all[6] = {&px, &py, &qx, &qy, &rx, &ry};
  for (int k = 0; k < 6; ++k) std::memcpy(all[k], corners[k], sizeof px);
  const Ints x0 = least(px, qx, rx), y0 = least(py, qy, ry), one = Ints{} + int32_t(kOne);
  // A point that cannot be drawn lies at INT32_MIN: halves do not overflow.
  const Ints across = (most(px, qx, rx) >> 1) - (x0 >> 1), down = (most(py, qy, ry) >> 1) - (y0 >> 1);
  const Ints is_small = (across < (kSide / 2) * one) & (down < (kSide / 2) * one) & (x0 != kNowhere);
  const Ints left = (x0 + (one - 1)) >> kBits, top = (y0 + (one - 1)) >> kBits;
  const Ints x = left * one & is_small, y = top * one & is_small;
  for (int k = 0; k < 6; ++k) *all[k] = (*all[k] & is_small) - (k % 2 ? y : x);
  const Ints area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = (area >> 31) | 1;
  Ints covered = {};
  const Ints faces = is_small & (a.cull ? area < 0 : area != 0);
  if (any(faces)) {
    const Ints ax = sign * (rx - qx), ay = sign * (ry - qy), bx = sign * (px - rx), by = sign * (py - ry);
    Ints row0 = ay * qx - ax * qy, row1 = by * rx - bx * ry, row2 = sign * area - row0 - row1;
    const int columns = centres(most(px, qx, rx)), rows = centres(most(py, qy, ry));
    for (int i = 0; i < rows; ++i, row0 += ax * one, row1 += bx * one, row2 -= (ax + bx) * one) {
      const Ints row = faces & (top + i >= 0) & (top + i < int32_t(a.h));
      Ints e0 = row0, e1 = row1, e2 = row2;
      for (int j = 0; j < columns; ++j, e0 -= ay * one, e1 -= by * one, e2 += (ay + by) * one) {
        const Ints here = row & (left + j >= 0) & (left + j < int32_t(a.w)) & ((e0 | e1 | e2) >= 0);
        covered |= here & (1 << (kSide * i + j));
      }
    }
  }
  const Ints is_large = ~is_small & (x0 != kNowhere);
  std::memcpy(squares.top, &top, sizeof top);
  std::memcpy(squares.covered, &covered, sizeof covered);
  std::memcpy(squares.large, &is_large, sizeof is_large);
}

// The bands of 2^shift rows that a triangle may draw in, first > last when it contains no pixel centre, is degenerate,
// or shows its back. Neighbours turn the same way, so that question comes first and is foreseen; small triangles miss all
// centres at random, so that answer is computed without asking on the way.
struct Bands {
  int first, last;
};

inline Bands bands_of(const rasterize_args& a, const int32_t* points, int shift, const int32_t* t) {
  const int32_t *p = points + 2 * int64_t(t[0]), *q = points + 2 * int64_t(t[1]), *r = points + 2 * int64_t(t[2]);
  const int64_t area =
      (int64_t(q[0]) - p[0]) * (int64_t(r[1]) - p[1]) - (int64_t(q[1]) - p[1]) * (int64_t(r[0]) - p[0]);
  if (a.cull ? area >= 0 : area == 0) return {0, -1};
  const int32_t w = int32_t(a.w), h = int32_t(a.h);
  const int32_t x0 = int32_t(least(p[0], q[0], r[0])), x1 = int32_t(most(p[0], q[0], r[0]));
  const int32_t y0 = int32_t(least(p[1], q[1], r[1])), y1 = int32_t(most(p[1], q[1], r[1]));
  const int32_t left = clamp(int32_t(ceil_pixel(x0)), 0, w), right = clamp(int32_t(floor_pixel(x1)), -1, w - 1);
  const int32_t top = clamp(int32_t(ceil_pixel(y0)), 0, h), bottom = clamp(int32_t(floor_pixel(y1)), -1, h - 1);
  const bool drawn = (x0 != kNowhere) & (left <= right) & (top <= bottom);
  return {top >> shift, drawn ? bottom >> shift : -1};
}

void draw(const rasterize_args& a, const int32_t* points, int32_t triangle, int64_t top, int64_t bottom) {
  const int32_t* t = a.triangles + 3 * int64_t(triangle);
  const int32_t *p = points + 2 * int64_t(t[0]), *q = points + 2 * int64_t(t[1]), *r = points + 2 * int64_t(t[2]);
  const int64_t px = p[0], py = p[1], qx = q[0], qy = q[1], rx = r[0], ry = r[1];
  int64_t x0 = ceil_pixel(least(px, qx, rx)), x1 = floor_pixel(most(px, qx, rx));
  int64_t y0 = ceil_pixel(least(py, qy, ry)), y1 = floor_pixel(most(py, qy, ry));
  x0 = x0 < 0 ? 0 : x0;
  y0 = y0 < top ? top : y0;
  x1 = x1 > a.w - 1 ? a.w - 1 : x1;
  y1 = y1 > bottom - 1 ? bottom - 1 : y1;
  const int64_t area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = area < 0 ? -1 : 1;
  // Twice the area of the part that belongs to each vertex, at (x0, y0); it changes by dx, dy per pixel.
  const int64_t ax = sign * (rx - qx), ay = sign * (ry - qy), bx = sign * (px - rx), by = sign * (py - ry),
                cx = -ax - bx, cy = -ay - by;
  const int64_t x = x0 * kOne, y = y0 * kOne;
  int64_t row0 = ax * (y - qy) - ay * (x - qx), row1 = bx * (y - ry) - by * (x - rx), row2 = sign * area - row0 - row1;
  const float scale = 1.0f / float(area * sign);
  const float z0 = a.vertices[3 * int64_t(t[0]) + 2], z1 = a.vertices[3 * int64_t(t[1]) + 2],
              z2 = a.vertices[3 * int64_t(t[2]) + 2];
  for (int64_t i = y0; i <= y1; ++i, row0 += ax * kOne, row1 += bx * kOne, row2 += cx * kOne) {
    int64_t e0 = row0, e1 = row1, e2 = row2;
    for (int64_t j = x0; j <= x1; ++j, e0 -= ay * kOne, e1 -= by * kOne, e2 -= cy * kOne) {
      if ((e0 | e1 | e2) < 0) continue;
      const float b0 = float(e0) * scale, b1 = float(e1) * scale, b2 = float(e2) * scale;
      const float depth = b0 * z0 + b1 * z1 + b2 * z2;
      const int64_t at = i * a.w + j;
      if (!(depth > a.depth[at])) continue;
      a.depth[at] = depth;
      a.index[at] = triangle;
      float* b = a.barycentric + 3 * at;
      b[0] = b0, b[1] = b1, b[2] = b2;
    }
  }
}

// The pixels of a small triangle, as many as are in rows [top, bottom): `covered` as in Squares.
void draw_small(const rasterize_args& a, const int32_t* points, int32_t triangle, int32_t covered, int64_t top,
                int64_t bottom) {
  const int32_t* t = a.triangles + 3 * int64_t(triangle);
  const int32_t *p = points + 2 * int64_t(t[0]), *q = points + 2 * int64_t(t[1]), *r = points + 2 * int64_t(t[2]);
  const int32_t x0 = int32_t(ceil_pixel(least(p[0], q[0], r[0]))), y0 = int32_t(ceil_pixel(least(p[1], q[1], r[1])));
  const int32_t one = int32_t(kOne), x = x0 * one, y = y0 * one;
  const int32_t px = p[0] - x, py = p[1] - y, qx = q[0] - x, qy = q[1] - y, rx = r[0] - x, ry = r[1] - y;
  const int32_t area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = area < 0 ? -1 : 1;
  const int32_t ax = sign * (rx - qx), ay = sign * (ry - qy), bx = sign * (px - rx), by = sign * (py - ry);
  const int32_t e0 = ay * qx - ax * qy, e1 = by * rx - bx * ry;
  const float scale = 1.0f / float(area * sign);
  const float z0 = a.vertices[3 * int64_t(t[0]) + 2], z1 = a.vertices[3 * int64_t(t[1]) + 2],
              z2 = a.vertices[3 * int64_t(t[2]) + 2];
  for (; covered; covered &= covered - 1) {
    const int32_t place = __builtin_ctz(covered), i = place / kSide, j = place % kSide;
    if (y0 + i < top || y0 + i >= bottom) continue;
    const int32_t f0 = e0 + (ax * i - ay * j) * one, f1 = e1 + (bx * i - by * j) * one;
    const float b0 = float(f0) * scale, b1 = float(f1) * scale, b2 = float(sign * area - f0 - f1) * scale;
    const float depth = b0 * z0 + b1 * z1 + b2 * z2;
    const int64_t at = (y0 + i) * a.w + x0 + j;
    if (!(depth > a.depth[at])) continue;
    a.depth[at] = depth;
    a.index[at] = triangle;
    float* b = a.barycentric + 3 * at;
    b[0] = b0, b[1] = b1, b[2] = b2;
  }
}

inline void check_triangle(const rasterize_args& a, int64_t i) {
  const int32_t* t = a.triangles + 3 * i;
  for (int k = 0; k < 3; ++k)
    if (uint64_t(int64_t(t[k])) >= uint64_t(a.vertex_count)) {
      char text[128];
      std::snprintf(text, sizeof text, "rasterize: triangle %lld names vertex %d of %lld", static_cast<long long>(i),
                    t[k], static_cast<long long>(a.vertex_count));
      throw std::runtime_error(text);
    }
}

}  // namespace

void rasterize(const rasterize_args& a, Pool& pool) {
  int32_t* points = a.scratch;                                                   // [vertex_count, 2]
  uint64_t* sets = reinterpret_cast<uint64_t*>(a.scratch + 2 * a.vertex_count);  // [ceil(count / 64), kBands]
  int shift = 0;
  while ((int64_t(kBands) << shift) < a.h) ++shift;
  const int64_t rows = int64_t(1) << shift, words = (a.count + 63) / 64;
  uint16_t* covered = reinterpret_cast<uint16_t*>(sets + words * kBands);  // [count], 0 for the large
  pool.split(a.vertex_count, kGrain, [&](int64_t begin, int64_t end) { snap(a.vertices, points, begin, end); });
  pool.split(a.count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) check_triangle(a, i);
    for (int64_t first = begin; first < end; first += kLanes) {
      uint64_t* set = sets + first / 64 * kBands;
      if (first % 64 == 0)
        for (int band = 0; band < kBands; ++band) set[band] = 0;
      Squares squares;
      cover(a, points, first, squares);
      for (int64_t i = first; i < end && i < first + kLanes; ++i) {
        const int lane = int(i - first);
        const int32_t bits = squares.covered[lane];
        covered[i] = uint16_t(bits);
        if (!(bits | squares.large[lane])) continue;
        const Bands bands = bits ? Bands{(squares.top[lane] + __builtin_ctz(bits) / kSide) >> shift,
                                         (squares.top[lane] + (31 - __builtin_clz(bits)) / kSide) >> shift}
                                 : bands_of(a, points, shift, a.triangles + 3 * i);
        for (int band = bands.first; band <= bands.last; ++band) set[band] |= uint64_t(1) << (i % 64);
      }
    }
  });
  pool.run(kBands, [&](int64_t band) {
    int64_t top = band * rows < a.h ? band * rows : a.h, bottom = top + rows < a.h ? top + rows : a.h;
    for (int64_t at = top * a.w; at < bottom * a.w; ++at) {
      a.index[at] = -1;
      a.depth[at] = -std::numeric_limits<float>::infinity();
      a.barycentric[3 * at] = a.barycentric[3 * at + 1] = a.barycentric[3 * at + 2] = 0;
    }
    for (int64_t word = 0; word < words; ++word)
      for (uint64_t set = sets[word * kBands + band]; set; set &= set - 1) {
        const int32_t triangle = int32_t(64 * word + __builtin_ctzll(set));
        if (covered[triangle]) draw_small(a, points, triangle, covered[triangle], top, bottom);
        else draw(a, points, triangle, top, bottom);
      }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
