// Mean and sum of squared deviations per column of rows [rows, c], for batch norm: chunks of kChunk numbers, each with sums around its own mean (neither a large
// mean nor an outlier then costs digits), merged in order by Chan's formula in f64. Either by one pass over what is read anywhere (part_moments), or from a
// product's tile on its way out (TileMoments). The cuts depend on the shape alone.
#pragma once
#include "ending.h"

namespace rescunet::cuda {

struct Moments {
  static constexpr int kChunk = 16;
  double count = 0, mean = 0, m2 = 0;

  __device__ void merge(double n, double other_mean, double other_m2) {
    if (n == 0) return;
    const double delta = other_mean - mean, share = n / (count + n);
    mean += delta * share;
    m2 += other_m2 + delta * delta * count * share;
    count += n;
  }
  __device__ void merge(const Moments& other) { merge(other.count, other.mean, other.m2); }

  /// of(k): number k of a chunk of n.
  template <class F> __device__ void add_chunk(int n, const F& of) {
    float v[kChunk], sum = 0, rest = 0, square = 0;
#pragma unroll
    for (int k = 0; k < kChunk; k++) sum += v[k] = k < n ? of(k) : 0.f;
    const float centre = sum / float(n);
#pragma unroll
    for (int k = 0; k < kChunk; k++) {
      const float d = k < n ? v[k] - centre : 0.f;
      rest += d, square += d * d;
    }
    const double shift = double(rest) / n, around = double(square) - double(rest) * shift;
    merge(n, double(centre) + shift, around < 0 ? 0 : around);  // NaN passes through
  }
};

/// How [rows, c] is walked: strips of kColumns columns, parts of `size` rows.
struct Cut {
  static constexpr int kColumns = 32, kRows = 8, kBlock = kColumns * kRows;
  int64_t strips, size, parts;

  Cut(int64_t rows, int64_t c) {
    constexpr int64_t kBlocks = 512, kLeast = kRows * Moments::kChunk;  // blocks wanted over all strips
    strips = ceil_divide(c, kColumns);
    const int64_t wanted = std::max<int64_t>(1, kBlocks / strips);
    size = ceil_divide(ceil_divide(rows, wanted), kLeast) * kLeast;
    parts = ceil_divide(rows, size);
  }
  Launch launch() const { return {dim3(unsigned(strips), unsigned(parts)), kBlock}; }
};

/// A thread's column and chunks: rows [begin, end) of its block's part.
struct CutPlace {
  int column, row;
  int64_t j, begin, end;
  __device__ CutPlace(int64_t rows, int64_t part)
      : column(threadIdx.x % Cut::kColumns), row(threadIdx.x / Cut::kColumns), j(int64_t(blockIdx.x) * Cut::kColumns + column), begin(blockIdx.y * part),
        end(begin + part < rows ? begin + part : rows) {}
};

/// from(row, column): a number, asked for once. partial [parts, c]
template <class Source> __global__ void __launch_bounds__(Cut::kBlock) part_moments(Source from, Moments* partial, int64_t rows, int64_t c, int64_t part) {
  SHARED(Moments[Cut::kRows][Cut::kColumns], all);
  const CutPlace p(rows, part);
  Moments mine;
  if (p.j < c)
    for (int64_t i = p.begin + p.row * Moments::kChunk; i < p.end; i += Cut::kRows * Moments::kChunk)
      mine.add_chunk(p.end - i < Moments::kChunk ? int(p.end - i) : Moments::kChunk, [&](int k) { return from(i + k, p.j); });
  all[p.row][p.column] = mine;
  __syncthreads();
  if (p.row || p.j >= c) return;
  for (int r = 1; r < Cut::kRows; r++) mine.merge(all[r][p.column]);
  partial[blockIdx.y * c + p.j] = mine;
}

/// Room for `parts` moments of each of c columns, and what their merging takes.
Moments* room_for_moments(Queue& queue, int64_t parts, int64_t c);
/// Merges them in order. The variance is biased.
void merge_moments(Queue& queue, Moments* partial, int64_t parts, int64_t c, float* mean, float* variance);

/// Of what a source gives.
template <class Source> void moments_of(Queue& queue, const Source& from, int64_t rows, int64_t c, float* mean, float* variance) {
  const Cut cut(rows, c);
  Moments* partial = room_for_moments(queue, cut.parts, c);
  launch<part_moments<Source>>(queue, cut.launch(), from, partial, rows, c, cut.size);
  merge_moments(queue, partial, cut.parts, c, mean, variance);
}

/// An ending after which the columns' statistics are wanted too, of the numbers as they are stored. A path that takes it leaves them; one that takes it for
/// an Ending does not.
struct Measured : Ending {
  float *mean, *variance;
  Moments* partial = nullptr;  // [row tiles, columns], for the tiles to leave theirs

  Measured(const Ending& end, float* mean, float* variance) : Ending(end), mean(mean), variance(variance) {}
  Measured behind(int64_t column) const { return {Ending::behind(column), mean + column, variance + column}; }
};

template <class End> inline constexpr bool kMeasures = std::is_same_v<End, Measured>;

/// A tile of what was written, in shared memory, and its columns' moments. The padding keeps the writings of a warp in different banks.
template <int kRows, int kColumns, int kThreads> struct TileMoments {
  static constexpr int kLine = kColumns + 8, kShares = kThreads / kColumns;  // threads that share a column
  static constexpr size_t kTile = size_t(kRows) * kLine * sizeof(float), kBytes = kTile + sizeof(Moments[kShares][kColumns]);
  static_assert(kShares >= 1 && kTile % alignof(Moments) == 0 && kRows % Moments::kChunk == 0);
  char* memory;

  __device__ float& at(int row, int column) const { return reinterpret_cast<float*>(memory)[row * kLine + column]; }

  /// partial [columns]; meet: the barrier of kThreads threads.
  template <class Meet> __device__ void leave(Moments* partial, int rows, int columns, const Meet& meet) const {
    Moments* shares = reinterpret_cast<Moments*>(memory + kTile);  // [kShares, kColumns]
    const int column = threadIdx.x % kColumns, share = threadIdx.x / kColumns;
    meet();
    Moments mine;
    if (column < columns)
      for (int i = share * Moments::kChunk; i < rows; i += kShares * Moments::kChunk)
        mine.add_chunk(rows - i < Moments::kChunk ? rows - i : Moments::kChunk, [&](int k) { return at(i + k, column); });
    shares[share * kColumns + column] = mine;
    meet();
    if (share || column >= columns) return;
    for (int s = 1; s < kShares; s++) mine.merge(shares[s * kColumns + column]);
    partial[column] = mine;
  }
};

}  // namespace rescunet::cuda
