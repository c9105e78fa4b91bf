// Z-buffer rasteriser. Vertices are snapped to 1/4096 of a pixel and edges are evaluated in integers, so that
// neighbouring triangles agree exactly about every pixel centre: a surface has no holes, and coverage is the same on
// every machine. Edges belong to both triangles; the larger z wins, and at equal z the lower triangle number.
//
// A pixel keeps the largest of (depth, then lowest number) as one integer, its key, whatever the order in which triangles come,
// and a last pass computes the winners' coordinates. Where depth alone is wanted, it is the key. Most triangles of a face are
// smaller than a pixel or two: which of 4x4 pixel centres they cover, and at what depth, is found for a vector of them at
// once, in 32 bits.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include "../mesh.h"
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

constexpr int kBits = 12;
constexpr int64_t kOne = 1 << kBits;
constexpr int32_t kNowhere = INT32_MIN;  // not finite, or further than 2^17 pixels from the origin
constexpr int kSide = 4;                 // pixel centres across a small triangle, at most
constexpr int64_t kGrain = 4096;
constexpr float kFurthest = -std::numeric_limits<float>::infinity();

typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));

template <class T> inline T least(T a, T b, T c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }
template <class T> inline T most(T a, T b, T c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }
// First pixel at or after, last pixel at or before a snapped coordinate.
template <class T> inline T ceil_pixel(T v) { return (v + (T{} + int32_t(kOne - 1))) >> kBits; }
inline int64_t floor_pixel(int64_t v) { return v >> kBits; }

template <class Key> struct Scene {
  const float* vertices;
  const int32_t* triangles;
  int64_t count, vertex_count, h, w;
  bool cull;
  int32_t* points;  // [vertex_count, 2], snapped
  Key* keys;        // [h, w]: 0 where nothing is drawn

  template <class Args> Scene(const Args& a, Key* keys)
      : vertices(a.vertices), triangles(a.triangles), count(a.count), vertex_count(a.vertex_count), h(a.h), w(a.w),
        cull(a.cull != 0), points(a.scratch), keys(keys) {}
};

using DepthAndTriangle = uint64_t;
using Depth = uint32_t;

// Depths in the order of unsigned integers; -0 is 0.
inline uint32_t ordered(float depth) {
  int32_t bits;
  depth += 0.0f;
  std::memcpy(&bits, &depth, sizeof bits);
  return uint32_t(bits ^ ((bits >> 31) | INT32_MIN));
}

inline float depth_of(Depth key) {
  const int32_t bits = int32_t(key) ^ (~(int32_t(key) >> 31) | INT32_MIN);
  float depth;
  std::memcpy(&depth, &bits, sizeof depth);
  return depth;
}

inline int64_t triangle_of(DepthAndTriangle key) { return int64_t(uint32_t(~key)); }

template <class Key> inline Key key_of(Depth depth, int64_t triangle) {
  return sizeof(Key) == sizeof(Depth) ? Key(depth) : Key(DepthAndTriangle(depth) << 32 | uint32_t(~triangle));
}

// Raises a pixel's key to this one; other threads may be raising it.
template <bool kShared, class Key> inline void raise(Key* key, Key wanted) {
  Key found = kShared ? __atomic_load_n(key, __ATOMIC_RELAXED) : *key;
  if (!kShared && wanted > found) *key = wanted;
  while (kShared && wanted > found)
    if (__atomic_compare_exchange_n(key, &found, wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) break;
}

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

// One triangle of any size. Twice the area that belongs to each vertex at a pixel changes by x, y per pixel up and to the right.
struct Triangle {
  int64_t area, sign, ax, ay, bx, by, left, right, top, bottom;
  int64_t qx, qy, rx, ry;
  float scale;

  template <class Key> Triangle(const Scene<Key>& s, const int32_t* t) {
    const int32_t *p = s.points + 2 * int64_t(t[0]), *q = s.points + 2 * int64_t(t[1]), *r = s.points + 2 * int64_t(t[2]);
    const int64_t px = p[0], py = p[1];
    qx = q[0], qy = q[1], rx = r[0], ry = r[1];
    area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = area < 0 ? -1 : 1;
    ax = sign * (rx - qx), ay = sign * (ry - qy), bx = sign * (px - rx), by = sign * (py - ry);
    left = ceil_pixel(least(px, qx, rx)), right = floor_pixel(most(px, qx, rx));
    top = ceil_pixel(least(py, qy, ry)), bottom = floor_pixel(most(py, qy, ry));
    scale = 1.0f / float(area * sign);
  }

  void at(int64_t i, int64_t j, int64_t& e0, int64_t& e1, int64_t& e2) const {
    const int64_t x = j * kOne, y = i * kOne;
    e0 = ax * (y - qy) - ay * (x - qx), e1 = bx * (y - ry) - by * (x - rx), e2 = sign * area - e0 - e1;
  }
};

template <bool kShared, class Key> void draw_large(const Scene<Key>& s, int64_t number) {
  const int32_t* corners = s.triangles + 3 * number;
  const Triangle t(s, corners);
  if (s.cull ? t.area >= 0 : t.area == 0) return;
  const float z0 = s.vertices[3 * int64_t(corners[0]) + 2], z1 = s.vertices[3 * int64_t(corners[1]) + 2],
              z2 = s.vertices[3 * int64_t(corners[2]) + 2];
  const int64_t left = t.left < 0 ? 0 : t.left, right = t.right < s.w ? t.right : s.w - 1;
  const int64_t top = t.top < 0 ? 0 : t.top, bottom = t.bottom < s.h ? t.bottom : s.h - 1;
  int64_t row0, row1, row2;
  t.at(top, left, row0, row1, row2);
  for (int64_t i = top; i <= bottom; ++i, row0 += t.ax * kOne, row1 += t.bx * kOne, row2 -= (t.ax + t.bx) * kOne) {
    int64_t e0 = row0, e1 = row1, e2 = row2;
    for (int64_t j = left; j <= right; ++j, e0 -= t.ay * kOne, e1 -= t.by * kOne, e2 += (t.ay + t.by) * kOne) {
      if ((e0 | e1 | e2) < 0) continue;
      const float depth = float(e0) * t.scale * z0 + float(e1) * t.scale * z1 + float(e2) * t.scale * z2;
      if (depth > kFurthest) raise<kShared>(s.keys + i * s.w + j, key_of<Key>(ordered(depth), number));
    }
  }
}

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

// x and y of kLanes points that lie as pairs.
template <int... kLane> inline void separate(const int32_t* pairs, Ints& x, Ints& y, std::integer_sequence<int, kLane...>) {
  Ints low, high;
  std::memcpy(&low, pairs, sizeof low);
  std::memcpy(&high, pairs + kLanes, sizeof high);
#ifdef __clang__
  x = __builtin_shufflevector(low, high, (2 * kLane)...);
  y = __builtin_shufflevector(low, high, (2 * kLane + 1)...);
#else
  x = __builtin_shuffle(low, high, Ints{(2 * kLane)...});
  y = __builtin_shuffle(low, high, Ints{(2 * kLane + 1)...});
#endif
}

// The corners of kLanes triangles.
struct Corners {
  int32_t pairs[3][2 * kLanes];

  template <class Key> void set(const Scene<Key>& s, int lane, const int32_t* t) {
    for (int k = 0; k < 3; ++k)
      std::memcpy(pairs[k] + 2 * lane, s.points + 2 * int64_t(t[k]), 2 * sizeof(int32_t));
  }
  void get(Ints& px, Ints& py, Ints& qx, Ints& qy, Ints& rx, Ints& ry) const {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    separate(pairs[0], px, py, lanes), separate(pairs[1], qx, qy, lanes), separate(pairs[2], rx, ry, lanes);
  }
};

// kLanes triangles from `first` on, or as many as there are.
template <bool kShared, class Key> void draw(const Scene<Key>& s, int64_t first) {
  Corners corners;
  float depths[3][kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int32_t* t = s.triangles + 3 * (first + lane < s.count ? first + lane : first);
    corners.set(s, lane, t);
    for (int k = 0; k < 3; ++k) depths[k][lane] = s.vertices[3 * int64_t(t[k]) + 2];
  }
  Ints px, py, qx, qy, rx, ry;
  corners.get(px, py, qx, qy, rx, ry);
  const Ints x0 = least(px, qx, rx), y0 = least(py, qy, ry), one = Ints{} + int32_t(kOne);
  // A point that cannot be drawn lies at INT32_MIN: halves do not overflow.
  const Ints across = (most(px, qx, rx) >> 1) - (x0 >> 1), down = (most(py, qy, ry) >> 1) - (y0 >> 1);
  const Ints somewhere = x0 != kNowhere, is_small = (across < (kSide / 2) * one) & (down < (kSide / 2) * one) & somewhere;
  const Ints is_large = ~is_small & somewhere;
  if (any(is_large)) {
    int32_t large[kLanes];
    std::memcpy(large, &is_large, sizeof large);
    for (int lane = 0; lane < kLanes; ++lane)
      if (large[lane] && first + lane < s.count) draw_large<kShared>(s, first + lane);
  }

  const Ints left = ceil_pixel(x0), top = ceil_pixel(y0);
  const Ints x = left * one & is_small, y = top * one & is_small;
  px = (px & is_small) - x, qx = (qx & is_small) - x, rx = (rx & is_small) - x;
  py = (py & is_small) - y, qy = (qy & is_small) - y, ry = (ry & is_small) - y;
  const Ints area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = (area >> 31) | 1;
  const Ints faces = is_small & (s.cull ? area < 0 : area != 0);
  if (!any(faces)) return;
  const Ints ax = sign * (rx - qx), ay = sign * (ry - qy), bx = sign * (px - rx), by = sign * (py - ry);
  Ints row0 = ay * qx - ax * qy, row1 = by * rx - bx * ry, row2 = sign * area - row0 - row1;
  const Vec scale = 1.0f / __builtin_convertvector(sign * area, Vec);
  const Vec z0 = load(depths[0]), z1 = load(depths[1]), z2 = load(depths[2]);
  const int columns = centres(most(px, qx, rx)), rows = centres(most(py, qy, ry));
  Ints covered = {};
  uint32_t found[kSide * kSide][kLanes];
  for (int i = 0; i < rows; ++i, row0 += ax * one, row1 += bx * one, row2 -= (ax + bx) * one) {
    const Ints row = faces & (top + i >= 0) & (top + i < int32_t(s.h));
    Ints e0 = row0, e1 = row1, e2 = row2;
    for (int j = 0; j < columns; ++j, e0 -= ay * one, e1 -= by * one, e2 += (ay + by) * one) {
      const Vec b0 = __builtin_convertvector(e0, Vec) * scale, b1 = __builtin_convertvector(e1, Vec) * scale,
                b2 = __builtin_convertvector(e2, Vec) * scale;
      const Vec depth = b0 * z0 + b1 * z1 + b2 * z2 + 0.0f;
      const Ints here = row & (left + j >= 0) & (left + j < int32_t(s.w)) & ((e0 | e1 | e2) >= 0) & (depth > kFurthest);
      covered |= here & (1 << (kSide * i + j));
      const Ints bits = Ints(depth), in_order = bits ^ ((bits >> 31) | INT32_MIN);
      std::memcpy(found[kSide * i + j], &in_order, sizeof in_order);
    }
  }
  int32_t tops[kLanes], lefts[kLanes];
  std::memcpy(tops, &top, sizeof top);
  std::memcpy(lefts, &left, sizeof left);
  typedef uint16_t Squares __attribute__((vector_size(kLanes * 2)));
  const Squares squares = __builtin_convertvector(covered, Squares);
  uint64_t four[kLanes / 4];  // triangles; one loop over all that they cover is foreseen better than four
  std::memcpy(four, &squares, sizeof squares);
  for (int k = 0; k < kLanes / 4; ++k)
    for (uint64_t left_over = four[k]; left_over; left_over &= left_over - 1) {
      const int bit = __builtin_ctzll(left_over), lane = 4 * k + bit / 16, place = bit % 16;
      Key* key = s.keys + (tops[lane] + place / kSide) * s.w + lefts[lane] + place % kSide;
      raise<kShared>(key, key_of<Key>(found[place][lane], first + lane < s.count ? first + lane : first));
    }
}

// The keys of all pixels.
template <class Key> void draw(const Scene<Key>& s, Pool& pool) {
  pool.split(s.vertex_count, kGrain, [&](int64_t begin, int64_t end) { snap(s.vertices, s.points, begin, end); });
  pool.split(s.h * s.w, 16 * kGrain, [&](int64_t begin, int64_t end) {
    std::memset(s.keys + begin, 0, size_t(end - begin) * sizeof *s.keys);
  });
  const bool shared = pool.threads() > 1;
  pool.split(s.count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) check_corners("rasterize", i, s.triangles + 3 * i, s.vertex_count);
    for (int64_t first = begin; first < end; first += kLanes)
      if (shared) draw<true>(s, first);
      else draw<false>(s, first);
  });
}

}  // namespace

void rasterize(const rasterize_args& a, Pool& pool) {
  const Scene s(a, reinterpret_cast<DepthAndTriangle*>(a.scratch + 2 * a.vertex_count));
  draw(s, pool);
  pool.split(s.h, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < s.w; ++j) {
        const int64_t at = i * s.w + j;
        const DepthAndTriangle key = s.keys[at];
        float* b = a.barycentric + 3 * at;
        a.index[at] = key ? int32_t(triangle_of(key)) : -1;
        a.depth[at] = key ? depth_of(Depth(key >> 32)) : kFurthest;
        b[0] = b[1] = b[2] = 0;
        if (!key) continue;
        const Triangle t(s, s.triangles + 3 * triangle_of(key));
        int64_t e0, e1, e2;
        t.at(i, j, e0, e1, e2);
        b[0] = float(e0) * t.scale, b[1] = float(e1) * t.scale, b[2] = float(e2) * t.scale;
      }
  });
}

void depth_map(const depth_map_args& a, Pool& pool) {
  const Scene s(a, reinterpret_cast<Depth*>(a.depth));
  draw(s, pool);
  pool.split(s.h * s.w, 16 * kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float depth = s.keys[i] ? depth_of(s.keys[i]) : kFurthest;
      std::memcpy(s.keys + i, &depth, sizeof depth);
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
