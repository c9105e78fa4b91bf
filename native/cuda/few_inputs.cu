// Convolutions of at most kFew inputs. The pixels that a tile of 8x16 outputs sees lie in shared memory once, as a patch [height, width, channels]; a product's
// element (output, (tap, channel)) is then one address and one offset into it, so tiles are multiplied as those of product.h are, in every precision.
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {
namespace {

constexpr int kHigh = 8, kWide = kDepth, kM = kHigh * kWide;  // a line of the tile is a step of the weights' gradient
constexpr int64_t kBlocks = 528, kMostBytes = 96 << 10;

// How the patch of a tile lies over x.
struct Patch {
  int height, width, line, floats;  // in pixels; floats of a line, and of all
  int down, across;                 // tiles of an image
  int low_y, low_x;                 // from the corner under the first tap to the patch's
  int next_y, next_x;               // floats from an output's pixel to that below it and beside it
  Divisor lines, channels, tiles, tiles_across;

  template <class T> Patch(const Pixels<T>& x, int64_t h, int64_t w, int c, int taps_down, int taps_across) {
    const int reach_y = std::max(taps_down - 1, 0) * x.y_taps.tap_step, reach_x = std::max(taps_across - 1, 0) * x.x_taps.tap_step;
    height = (kHigh - 1) * x.y_taps.step + std::abs(reach_y) + 1, width = (kWide - 1) * x.x_taps.step + std::abs(reach_x) + 1;
    low_y = std::min(reach_y, 0), low_x = std::min(reach_x, 0), line = width * c, floats = height * line;
    down = int(ceil_divide(h, kHigh)), across = int(ceil_divide(w, kWide));
    next_y = x.y_taps.step * line, next_x = x.x_taps.step * c;
    lines = Divisor(line), channels = Divisor(c), tiles = Divisor(down * across), tiles_across = Divisor(across);
  }

  // Of element k = (tap, channel), from an output's first pixel on.
  template <class T> __device__ int offset(const Pixels<T>& x, int k) const {
    int c = k;
    int across = x.channels.split(c);
    const int down = x.taps_across.split(across);
    return (down * x.y_taps.tap_step - low_y) * line + (across * x.x_taps.tap_step - low_x) * int(channels.divisor) + c;
  }
};

// The tile of a number: its image and first output.
struct TilePlace {
  int image, a, b;
  __device__ TilePlace(const Patch& p, int tile) {
    int rest = tile;
    image = p.tiles.split(rest);
    a = p.tiles_across.split(rest) * kHigh, b = rest * kWide;
  }
};

template <class T> __device__ void load_patch(const Pixels<T>& x, const Patch& p, const TilePlace& at, float* patch) {
  const int y0 = at.a * x.y_taps.step + x.y_taps.first + p.low_y, x0 = at.b * x.x_taps.step + x.x_taps.first + p.low_x;
  for (int i = threadIdx.x; i < p.floats; i += kThreads) {
    int c = i;
    const int y = p.lines.split(c), column = p.channels.split(c);
    const bool inside = uint32_t(y0 + y) < uint32_t(x.h) && uint32_t(x0 + column) < uint32_t(x.w);
    patch[i] = inside ? number(x.x[((int64_t(at.image) * x.h + y0 + y) * x.w + x0 + column) * x.pixel + c]) : 0.f;
  }
}

// Rows are the tile's outputs, k what they see; an offset of -1 is a zero.
struct PatchRows {
  static constexpr bool kMatrices = false;
  const float* patch;
  const int* offsets;
  int next_y, next_x;
  __device__ float operator()(int row, int k) const { return offsets[k] < 0 ? 0.f : patch[row / kWide * next_y + row % kWide * next_x + offsets[k]]; }
};
// The other way round, for one line of the tile.
struct PatchColumns {
  static constexpr bool kMatrices = false;
  const float* patch;
  const int* offsets;
  int next_x;
  __device__ float operator()(int row, int k) const { return offsets[row] < 0 ? 0.f : patch[k * next_x + offsets[row]]; }
};
struct WeightRows {
  static constexpr bool kMatrices = false;
  const float* w;
  int line;
  __device__ float operator()(int row, int k) const { return w[row * line + k]; }
};

__host__ __device__ constexpr int whole_steps(int depth) { return int(ceil_divide(depth, kDepth)) * kDepth; }

// A block keeps the weights of its kN outputs and walks tiles. Shared: weights [kN, depth + 4] (the readings of a warp fall into different banks), offsets, patch.
template <class T, class Sums, int kN> __global__ void __launch_bounds__(kThreads) multiply_patches(TapProduct<T> p, Patch patch, int tiles) {
  const int depth = p.down * p.across * p.channels, whole = whole_steps(depth), line = whole + 4, n0 = blockIdx.y * kN;
  float* weights = dynamic_shared<float>();
  int* offsets = reinterpret_cast<int*>(weights + kN * line);
  float* pixels = reinterpret_cast<float*>(offsets + whole);
  for (int k = threadIdx.x; k < whole; k += kThreads) offsets[k] = k < depth ? patch.offset(p.x, k) : -1;
  for (int i = threadIdx.x; i < kN * whole; i += kThreads) {
    const int o = i / whole, k = i % whole, tap = k / p.channels;
    weights[o * line + k] = n0 + o < p.outputs && k < depth ? p.w(n0 + o, tap / p.across, tap % p.across, k % p.channels) : 0.f;
  }
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const TilePlace at(patch, tile);
    __syncthreads();  // everybody has left the patch before
    load_patch(p.x, patch, at, pixels);
    __syncthreads();
    Sums sums;
    for (int k = 0; k < whole; k += kDepth) sums.add(PatchRows{pixels, offsets + k, patch.next_y, patch.next_x}, WeightRows{weights + k, line});
    sums.each([&](int i, int j, float v) {
      const int a = at.a + i / kWide, b = at.b + i % kWide, o = n0 + j;
      if (a < p.height && b < p.width && o < p.outputs) p.write((at.image * p.height + a) * p.width + b, o, v);
    });
  }
}

template <template <int, int, int> class Sums, int kN, int kWarpsM, class T> bool multiply_tiled(const TapProduct<T>& p, Queue& queue) {
  const Patch patch(p.x, p.height, p.width, p.channels, p.down, p.across);
  const int whole = whole_steps(p.down * p.across * p.channels);
  const int64_t bytes = 4 * (int64_t(kN) * (whole + 4) + whole + patch.floats), tiles = int64_t(p.images) * patch.down * patch.across;
  if (bytes > kMostBytes) return false;
  launch<multiply_patches<T, Sums<kM, kN, kWarpsM>, kN>>(queue, {dim3(unsigned(std::min(tiles, kBlocks)), unsigned(ceil_divide(p.outputs, kN))), kThreads, size_t(bytes)}, p, patch,
                                                      tiles);
  return true;
}

template <template <int, int, int> class Sums, class T> bool multiply_in(const TapProduct<T>& p, Queue& queue) {
  return p.outputs <= 16 ? multiply_tiled<Sums, 16, 8>(p, queue) : multiply_tiled<Sums, 64, 4>(p, queue);
}

// dW [oc, (tap, channel)] of the tiles of a block, which walks them: dy is the first factor, 16 pixels at a time. parts [blocks, oc, depth]
// Shared: dy [pixels, kN], offsets [kN], patch.
constexpr int kN = 64;
template <class T, class Sums> __global__ void __launch_bounds__(kThreads) part_patches(Pixels<T> x, const T* y, float* parts, Patch patch, int oc, int depth, int oh, int ow, int tiles) {
  using Tile = SharedTile<kN, false>;
  float* outputs = dynamic_shared<float>();
  int* offsets = reinterpret_cast<int*>(outputs + kM * Tile::kLine);
  float* pixels = reinterpret_cast<float*>(offsets + kN);
  const int m0 = blockIdx.y * kN, n0 = blockIdx.z * kN;
  for (int j = threadIdx.x; j < kN; j += kThreads) offsets[j] = n0 + j < depth ? patch.offset(x, n0 + j) : -1;
  Sums sums;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const TilePlace at(patch, tile);
    __syncthreads();
    load_patch(x, patch, at, pixels);
    for (int i = threadIdx.x; i < kM * kN; i += kThreads) {
      const int pixel = i / kN, o = i % kN, a = at.a + pixel / kWide, b = at.b + pixel % kWide;
      outputs[pixel * Tile::kLine + o] = a < oh && b < ow && m0 + o < oc ? number(y[((int64_t(at.image) * oh + a) * ow + b) * oc + m0 + o]) : 0.f;
    }
    __syncthreads();
    for (int a = 0; a < kHigh; a++) sums.add(Tile{outputs + a * kWide * Tile::kLine}, PatchColumns{pixels + a * patch.next_y, offsets, patch.next_x});
  }
  sums.each([&](int i, int j, float v) {
    if (m0 + i < oc && n0 + j < depth) parts[(int64_t(blockIdx.x) * oc + m0 + i) * depth + n0 + j] = v;
  });
}

template <class T, template <int, int, int> class Sums> bool weight_in(const conv2d_weight_args& p, Queue& queue) {
  const Pixels<T> x = pixels<T>(p);
  const Patch patch(x, p.oh, p.ow, int(p.ic), int(p.kh), int(p.kw));
  const int64_t depth = p.kh * p.kw * p.ic, bytes = 4 * (int64_t(kM) * SharedTile<kN, false>::kLine + kN + patch.floats), tiles = p.n * patch.down * patch.across;
  if (bytes > kMostBytes) return false;
  const int64_t across = ceil_divide(p.oc, kN) * ceil_divide(depth, kN), blocks = std::clamp<int64_t>(kBlocks / across, 1, std::max<int64_t>(tiles, 1));
  float* parts = queue.workspace<float>(blocks * p.oc * depth);
  launch<part_patches<T, Sums<kN, kN, 2>>>(queue, {dim3(unsigned(blocks), unsigned(ceil_divide(p.oc, kN)), unsigned(ceil_divide(depth, kN))), kThreads, size_t(bytes)}, x, as<T>(p.y), parts,
                                        patch, p.oc, depth, p.oh, p.ow, tiles);
  launch<add_splits<Lines, Unended>>(queue, {grid_for(p.oc * depth, kThreads), kThreads}, parts, Lines{p.w, depth, 0}, ProductSize{1, int(p.oc), int(depth), 0}, Unended{}, blocks);
  return true;
}

}  // namespace

template <class T> bool few_inputs(const TapProduct<T>& p, Queue& queue) {
  if (sizeof(T) == 2 || queue.precision == Precision::bf16) return multiply_in<SumsBf16>(p, queue);
  return queue.precision == Precision::tf32 ? multiply_in<SumsTf32>(p, queue) : multiply_in<SumsF32>(p, queue);
}

template <class T> bool few_inputs_weight(const conv2d_weight_args& p, Queue& queue) {
  if (sizeof(T) == 2 || queue.precision == Precision::bf16) return weight_in<T, SumsBf16>(p, queue);
  return queue.precision == Precision::tf32 ? weight_in<T, SumsTf32>(p, queue) : weight_in<T, SumsF32>(p, queue);
}

template bool few_inputs(const TapProduct<float>&, Queue&);
template bool few_inputs(const TapProduct<Bf16>&, Queue&);
template bool few_inputs_weight<float>(const conv2d_weight_args&, Queue&);
template bool few_inputs_weight<Bf16>(const conv2d_weight_args&, Queue&);

}  // namespace rescunet::cuda
