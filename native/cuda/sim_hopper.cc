// Barriers in shared memory, tile copies and warpgroup products of the emulation.
#include "sim_hopper.h"
#include <map>
#include <vector>

namespace rescunet::cuda {
namespace {

using Effect = std::function<void()>;

// A phase ends when all arrivals and all bytes have come; bytes may come before they are expected.
struct Mbarrier {
  int arrivals, missing;
  int64_t bytes = 0;
  int phase = 0;
  std::vector<Effect> under_way;
  std::vector<unsigned> waiting;

  void advance() {
    if (missing || bytes) return;
    phase ^= 1, missing = arrivals;
    for (unsigned thread : waiting) sim::wake(thread);
    waiting.clear();
  }
};

// Of the running block, and of its warpgroups.
struct Block {
  std::map<uint32_t, Mbarrier> barriers;
  struct Products { std::vector<Effect> open; std::vector<std::vector<Effect>> groups; } products[8];
};

Block& block() {
  static Block state;
  static uint64_t number = 0;
  if (number != sim::block_number()) state = {}, number = sim::block_number();
  return state;
}

Mbarrier& barrier_at(uint32_t bar, sim::Site site) {
  sim::at_address(bar, 8, 8, site);
  auto found = block().barriers.find(bar);
  if (found == block().barriers.end()) sim::fail("a barrier in shared memory was never initialised", site);
  return found->second;
}

// The 128-byte swizzle: bits 4..6 of an address are mixed with bits 7..9.
uint32_t swizzled(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }
void* element(uint32_t address, int bytes) { return sim::at_address(swizzled(address), unsigned(bytes), unsigned(bytes), {__FILE__, __LINE__}); }

void issue(uint32_t bar, int64_t bytes, Effect write, sim::Site site) {
  Mbarrier& b = barrier_at(bar, site);
  Effect effect = [&b, bytes, write = std::move(write)] {
    write();
    b.bytes -= bytes;
    b.advance();
  };
  if (sim::hasten() || !b.waiting.empty()) effect();  // who waits already would never ask again
  else b.under_way.push_back(std::move(effect));
}

void check_tile(uint32_t to, const TensorMap& map, sim::Site site) {
  if (to % 1024) sim::fail("a swizzled tile does not lie at a multiple of 1024", site);
  sim::at_address(to, unsigned(map.lines) * 128, 128, site);
  if (reinterpret_cast<uintptr_t>(map.data) % 16) sim::fail("what a tensor map describes does not lie at a multiple of 16", site);
}

// One line of a tile: 128 bytes from element `at` of a row of `count`, zeros beyond (also where `row` is null).
void copy_line(uint32_t to, const char* row, int bytes, int64_t at, int64_t count) {
  for (int i = 0; i < 128; i += bytes) {
    if (row && at + i / bytes < count) std::memcpy(element(to + uint32_t(i), bytes), row + at * bytes + i, size_t(bytes));
    else std::memset(element(to + uint32_t(i), bytes), 0, size_t(bytes));
  }
}

}  // namespace

void mbarrier_init(uint32_t bar, int arrivals, sim::Site site) {
  sim::at_address(bar, 8, 8, site);
  Mbarrier b{};
  b.arrivals = b.missing = arrivals;
  block().barriers[bar] = b;
}

void mbarrier_arrive(uint32_t bar, sim::Site site) {
  Mbarrier& b = barrier_at(bar, site);
  if (b.missing == 0) sim::fail("more arrivals at a barrier than it was made for", site);
  b.missing--;
  b.advance();
}

void mbarrier_arrive_expecting(uint32_t bar, int bytes, sim::Site site) {
  barrier_at(bar, site).bytes += bytes;
  mbarrier_arrive(bar, site);
}

void mbarrier_wait(uint32_t bar, int parity, sim::Site site) {
  Mbarrier& b = barrier_at(bar, site);
  while (b.phase == parity) {
    std::vector<Effect> landing;
    landing.swap(b.under_way);
    for (Effect& effect : landing) effect();
    if (b.phase != parity) break;
    b.waiting.push_back(sim::here.linear);
    sim::wait_here("a barrier in shared memory", site);
  }
}

void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row, int layer, sim::Site site) {
  const TensorMap m = *map;
  check_tile(to, m, site);
  const MatrixLayers& l = m.matrix;
  if (l.row_stride * m.bytes % 16 || (l.layers > 1 && l.layer_stride * m.bytes % 16)) sim::fail("the strides of a tensor map are not multiples of 16 bytes", site);
  issue(bar, m.lines * 128, [=] {
    const char* data = static_cast<const char*>(m.data);
    for (int i = 0; i < m.lines; i++) {
      const bool inside = layer >= 0 && layer < l.layers && row + i < l.rows;
      copy_line(to + uint32_t(i) * 128, inside ? data + (layer * l.layer_stride + (row + i) * l.row_stride) * m.bytes : nullptr, m.bytes, column, l.columns);
    }
  }, site);
}

void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down, sim::Site site) {
  const TensorMap m = *map;
  check_tile(to, m, site);
  if (m.c * m.bytes % 16) sim::fail("the pixels of a tensor map are not multiples of 16 bytes", site);
  if (across < 0 || down < 0 || across > 255 || down > 255) sim::fail("a tap lies further from its position than a byte says", site);
  issue(bar, m.lines * 128, [=]() mutable {
    const char* data = static_cast<const char*>(m.data);
    for (int i = 0; i < m.lines; i++) {
      const int64_t at_x = x + across, at_y = y + down;
      const bool inside = n < m.n && at_x >= 0 && at_x < m.x.size && at_y >= 0 && at_y < m.y.size;
      copy_line(to + uint32_t(i) * 128, inside ? data + ((n * m.y.size + at_y) * m.x.size + at_x) * m.c * m.bytes : nullptr, m.bytes, channel, m.c);
      x += m.x.stride;  // the next position, up to the corner at the other end
      if (x < m.x.size + m.x.upper()) continue;
      x = m.x.first, y += m.y.stride;
      if (y < m.y.size + m.y.upper()) continue;
      y = m.y.first, n++;
    }
  }, site);
}

namespace {

Block::Products& products() { return block().products[sim::here.linear / 128]; }

struct Thread { float* d; uint64_t a, b; WarpgroupForm form; };

// Element (row, k) of what a descriptor describes: along lines of k, or lines of 64 rows with k going down.
float described(uint64_t descriptor, int bytes, bool across, int row, int k) {
  const auto field = [&](int bit) { return uint32_t(descriptor >> bit & 0x3fff) << 4; };
  const uint32_t start = field(0), leading = field(16), stride = field(32);
  const uint32_t at = across ? start + uint32_t(row / 64) * leading + uint32_t(k / 8) * stride + uint32_t(k % 8 * 128 + row % 64 * bytes)
                             : start + uint32_t(row / 8) * stride + uint32_t(row % 8 * 128 + k * bytes);
  uint32_t bits = 0;
  if (bytes == 2) {
    uint16_t half;
    std::memcpy(&half, element(at, 2), 2);
    bits = uint32_t(half) << 16;
  } else {
    std::memcpy(&bits, element(at, 4), 4);
    bits &= ~0x1fffu;  // the hardware drops the low bits
  }
  return __uint_as_float(bits);
}

// Row r of a tile belongs to warp r / 16; a thread has two rows and pairs of columns.
void multiply_tile(float* const* d, uint64_t a, uint64_t b, WarpgroupForm form) {
  const int depth = 32 / form.bytes;
  float right[16][256];
  for (int j = 0; j < form.columns; j++)
    for (int k = 0; k < depth; k++) right[k][j] = described(b, form.bytes, form.across_b, j, k);
  for (int row = 0; row < 64; row++) {
    float sums[256] = {};
    for (int k = 0; k < depth; k++) {
      const float left = described(a, form.bytes, form.across_a, row, k);
      for (int j = 0; j < form.columns; j++) sums[j] += left * right[k][j];
    }
    for (int j = 0; j < form.columns; j++) d[row / 16 * 32 + row % 8 * 4 + j % 8 / 2][j / 8 * 4 + row / 8 % 2 * 2 + j % 2] += sums[j];
  }
}

}  // namespace

void warpgroup_multiply_as(float* d, uint64_t a, uint64_t b, WarpgroupForm form, sim::Site site) {
  Thread mine{d, a, b, form};
  sim::meet_warpgroup(&mine, [](void** threads) {
    struct { float* d[128]; } all;
    const Thread first = *static_cast<Thread*>(threads[0]);
    if (first.a >> 62 != 1 || first.b >> 62 != 1) sim::fail("a tile is described without the swizzle of 128 bytes", {__FILE__, __LINE__});
    for (int i = 0; i < 128; i++) {
      const Thread& t = *static_cast<Thread*>(threads[i]);
      all.d[i] = t.d;
      if (t.a != first.a || t.b != first.b) sim::fail("the threads of a warpgroup name different tiles", {__FILE__, __LINE__});
    }
    Effect effect = [all, first] { multiply_tile(all.d, first.a, first.b, first.form); };
    // Products into the same sums keep their order.
    if (products().groups.empty() && products().open.empty() && sim::hasten()) effect();
    else products().open.push_back(std::move(effect));
  }, site);
}

void warpgroup_commit(sim::Site site) {
  sim::meet_warpgroup(nullptr, [](void**) { products().groups.push_back(std::move(products().open)), products().open.clear(); }, site);
}

void warpgroup_wait_for(int pending, sim::Site site) {
  struct Wanted { int pending; } mine{pending};
  sim::meet_warpgroup(&mine, [](void** threads) {
    auto& groups = products().groups;
    while (groups.size() > size_t(static_cast<Wanted*>(threads[0])->pending)) {
      for (Effect& effect : groups.front()) effect();
      groups.erase(groups.begin());
    }
  }, site);
}

}  // namespace rescunet::cuda
