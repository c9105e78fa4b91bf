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
float* element(uint32_t tile, int row, int column) {
  return static_cast<float*>(sim::at_address(swizzled(tile + uint32_t(row * 128 + column * 4)), 4, 4, {__FILE__, __LINE__}));
}

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

void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row, sim::Site site) {
  const TensorMap m = *map;
  check_tile(to, m, site);
  issue(bar, m.lines * 128, [=] {
    for (int i = 0; i < m.lines; i++)
      for (int j = 0; j < 32; j++) *element(to, i, j) = row + i < m.h && column + j < m.c ? m.data[(row + i) * m.c + column + j] : 0.f;
  }, site);
}

void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down, sim::Site site) {
  const TensorMap m = *map;
  check_tile(to, m, site);
  issue(bar, m.lines * 128, [=]() mutable {
    for (int i = 0; i < m.lines; i++) {
      const int64_t at_x = x + across, at_y = y + down;
      const bool inside = n < m.n && at_x >= 0 && at_x < m.w && at_y >= 0 && at_y < m.h;
      for (int j = 0; j < 32; j++) *element(to, i, j) = inside && channel + j < m.c ? m.data[((n * m.h + at_y) * m.w + at_x) * m.c + channel + j] : 0.f;
      x += m.x.stride;  // the next position, up to the corner at the other end
      if (x < m.w + m.x.padding - m.x.reach) continue;
      x = -m.x.padding, y += m.y.stride;
      if (y < m.h + m.y.padding - m.y.reach) continue;
      y = -m.y.padding, n++;
    }
  }, site);
}

namespace {

Block::Products& products() { return block().products[sim::here.linear / 128]; }

struct Thread { float* d; uint64_t a, b; };

// Row r of a tile belongs to warp r / 16; a thread has two rows and pairs of columns.
void multiply_tile(float* const* d, uint32_t a, uint32_t b) {
  const auto tf32 = [](float v) { return __uint_as_float(__float_as_uint(v) & ~0x1fffu); };
  float right[8][64];
  for (int j = 0; j < 64; j++)
    for (int k = 0; k < 8; k++) right[k][j] = tf32(*element(b, j, k));
  for (int row = 0; row < 64; row++) {
    float sums[64] = {};
    for (int k = 0; k < 8; k++) {
      const float left = tf32(*element(a, row, k));
      for (int j = 0; j < 64; j++) sums[j] += left * right[k][j];
    }
    for (int j = 0; j < 64; j++) d[row / 16 * 32 + row % 8 * 4 + j % 8 / 2][j / 8 * 4 + row / 8 % 2 * 2 + j % 2] += sums[j];
  }
}

}  // namespace

void warpgroup_multiply_tf32(float (&d)[32], uint64_t a, uint64_t b, sim::Site site) {
  Thread mine{d, a, b};
  sim::meet_warpgroup(&mine, [](void** threads) {
    struct { float* d[128]; } all;
    const Thread first = *static_cast<Thread*>(threads[0]);
    for (int i = 0; i < 128; i++) {
      const Thread& t = *static_cast<Thread*>(threads[i]);
      all.d[i] = t.d;
      if (t.a != first.a || t.b != first.b) sim::fail("the threads of a warpgroup name different tiles", {__FILE__, __LINE__});
    }
    Effect effect = [all, first] { multiply_tile(all.d, uint32_t(first.a), uint32_t(first.b)); };
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
