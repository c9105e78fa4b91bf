// The emulated multiprocessor: one block at a time, its threads as fibers that switch where the hardware may.
#include "sim.h"
#include <sys/mman.h>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif
#ifndef __x86_64__
#error "the emulation switches stacks in x86-64 assembler"
#endif

extern "C" void rescunet_switch(void** save, void* to);
asm(R"(
.text
.globl rescunet_switch
.type rescunet_switch,@function
rescunet_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size rescunet_switch,.-rescunet_switch
)");

namespace rescunet::sim {

Position here;

namespace {

constexpr size_t kStack = 128 << 10, kShared = 232448, kGap = 64, kThreads = 1024;
constexpr int kBarriers = 16;

enum class State : uint8_t { runnable, waiting, done };

struct Fiber {
  void* stack_pointer;
  uint3 index;
  State state;
  const char* waits_at;  // "a barrier", for messages
  Site site;
  void* brought;
  std::vector<std::vector<std::function<void()>>> groups;
  std::vector<std::function<void()>> open;
};

// Numbers of threads, in order; neighbours are found round the end.
struct ThreadSet {
  uint32_t words[kThreads / 32] = {};
  unsigned count = 0;

  void insert(unsigned i) { words[i / 32] |= 1u << i % 32, count++; }
  void erase(unsigned i) { words[i / 32] &= ~(1u << i % 32), count--; }
  unsigned after(unsigned i) const {
    for (unsigned w = i / 32, rest = i % 32 == 31 ? 0 : words[w] & ~0u << (i % 32 + 1);; w = (w + 1) % (kThreads / 32), rest = words[w])
      if (rest) return w * 32 + unsigned(std::countr_zero(rest));
  }
  unsigned before(unsigned i) const {
    for (unsigned w = i / 32, rest = words[w] & ((1u << i % 32) - 1);; w = (w + kThreads / 32 - 1) % (kThreads / 32), rest = words[w])
      if (rest) return w * 32 + 31 - unsigned(std::countl_zero(rest));
  }
};

struct Barrier { unsigned arrived = 0, expected = 0; std::vector<unsigned> waiting; };
struct Warp { uint32_t arrived = 0, mask = 0; };
struct Declaration { Site site; size_t bytes, offset; };

unsigned char* reserve(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(p);
}

// One for the process: launches take turns.
struct Multiprocessor {
  std::mutex turn;
  Settings settings;
  const std::function<void()>* body = nullptr;
  std::vector<Fiber> fibers;
  ThreadSet runnable;
  unsigned living = 0;
  Warp warps[kThreads / 32], warpgroups[kThreads / 128];
  Barrier barriers[kBarriers];
  unsigned char* stacks = reserve(kThreads * kStack);
  unsigned char* memory = reserve(kShared + 1024);
  size_t dynamic_bytes = 0, used = 0;
  std::vector<Declaration> declarations;
  void* outside = nullptr;  // stack pointer of launch()
  std::string failure;
  uint32_t seed = 1;
  uint64_t blocks = 0;  // so far

  uint32_t random() {
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
  }
  Fiber& self() { return fibers[here.linear]; }
};

Multiprocessor& machine() {
  static Multiprocessor one;
  return one;
}

std::string place(Site site) {
  const char* name = std::strrchr(site.file, '/');
  return std::string(name ? name + 1 : site.file) + ":" + std::to_string(site.line);
}

// ---- switching ---------------------------------------------------------------------------------------------------------

void switch_to(void** save, void* to, [[maybe_unused]] unsigned char* stack, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake;
  __sanitizer_start_switch_fiber(&fake, stack, bytes);
  rescunet_switch(save, to);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  rescunet_switch(save, to);
#endif
}

#if defined(__SANITIZE_ADDRESS__)
const void* outside_stack;
size_t outside_size;
#endif

void leave_block() {
  Multiprocessor& m = machine();
#if defined(__SANITIZE_ADDRESS__)
  switch_to(&m.self().stack_pointer, m.outside, const_cast<unsigned char*>(static_cast<const unsigned char*>(outside_stack)), outside_size);
#else
  switch_to(&m.self().stack_pointer, m.outside, nullptr, 0);
#endif
}

std::string who_waits() {
  std::map<std::string, unsigned> places;
  for (const Fiber& f : machine().fibers)
    if (f.state == State::waiting) places[std::string(f.waits_at) + " at " + place(f.site)]++;
  std::string text;
  for (const auto& [where, count] : places) text += (text.empty() ? "" : "; ") + std::to_string(count) + " threads wait for " + where;
  return text;
}

// In ascending order a thread runs as far as it can before the next one starts.
unsigned next_thread() {
  Multiprocessor& m = machine();
  switch (m.settings.order) {
    case Order::ascending: return m.runnable.after(here.linear);
    case Order::descending: return m.runnable.before(here.linear);
    default: return m.runnable.after(m.random() % unsigned(m.fibers.size()));
  }
}

void run_another() {
  Multiprocessor& m = machine();
  if (m.runnable.count == 0) {
    if (m.living) m.failure = "deadlock: " + who_waits() + (m.living < m.fibers.size() ? "; " + std::to_string(m.fibers.size() - m.living) + " have ended" : "");
    return leave_block();
  }
  const unsigned from = here.linear, to = next_thread();
  if (to == from) return;
  here.linear = to, here.thread = m.fibers[to].index;
  switch_to(&m.fibers[from].stack_pointer, m.fibers[to].stack_pointer, m.stacks + to * kStack, kStack);
}

}  // namespace

void wait_here(const char* what, Site site) {
  Multiprocessor& m = machine();
  Fiber& f = m.self();
  f.state = State::waiting, f.waits_at = what, f.site = site;
  m.runnable.erase(here.linear);
  run_another();
}

void wake(unsigned thread) {
  machine().fibers[thread].state = State::runnable;
  machine().runnable.insert(thread);
}

namespace {

void thread_main() {
#if defined(__SANITIZE_ADDRESS__)
  const void* from;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &from, &size);
  if (!outside_stack) outside_stack = from, outside_size = size;
#endif
  Multiprocessor& m = machine();
  (*m.body)();
  Fiber& f = m.self();
  f.state = State::done;
  f.groups.clear(), f.open.clear();  // what nobody waited for never lands
  m.living--;
  m.runnable.erase(here.linear);
  run_another();
  __builtin_unreachable();
}

void run_block() {
  Multiprocessor& m = machine();
  const dim3 size = here.block_size;
  const unsigned count = size.x * size.y * size.z;
  m.blocks++;
  m.fibers.clear(), m.fibers.resize(count);
  m.runnable = {};
  m.living = count;
  for (Warp& w : m.warps) w = {};
  for (Warp& w : m.warpgroups) w = {};
  for (Barrier& b : m.barriers) b = {};
  m.declarations.clear();
  ASAN_UNPOISON_MEMORY_REGION(m.memory, kShared);
  std::memset(m.memory, 0xff, m.dynamic_bytes);  // NaN in f32 and bf16
  m.used = (m.dynamic_bytes + kGap) / kGap * kGap;
  ASAN_POISON_MEMORY_REGION(m.memory + m.dynamic_bytes, kShared - m.dynamic_bytes);
  ASAN_UNPOISON_MEMORY_REGION(m.stacks, count * kStack);  // marks of the fibers that ended there before
  for (unsigned i = 0; i < count; i++) {
    Fiber& f = m.fibers[i];
    f.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    m.runnable.insert(i);
    void** stack = reinterpret_cast<void**>(m.stacks + (i + 1) * kStack - 64);
    *--stack = nullptr;
    *--stack = reinterpret_cast<void*>(&thread_main);
    for (int k = 0; k < 6; k++) *--stack = nullptr;
    f.stack_pointer = stack;
  }
  here.linear = m.settings.order == Order::descending ? 0 : count - 1;
  here.linear = next_thread(), here.thread = m.fibers[here.linear].index;
#if defined(__SANITIZE_ADDRESS__)
  outside_stack = nullptr;
#endif
  switch_to(&m.outside, m.fibers[here.linear].stack_pointer, m.stacks + here.linear * kStack, kStack);
}

}  // namespace

[[noreturn]] void fail(const char* what, Site site) {
  machine().failure = std::string(what) + " at " + place(site);
  leave_block();
  __builtin_unreachable();
}

void launch(const Settings& settings, dim3 grid, dim3 block, size_t dynamic, const std::function<void()>& body) {
  Multiprocessor& m = machine();
  std::lock_guard lock(m.turn);
  const std::string name = std::string("sim: ") + settings.kernel;
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads > kThreads || threads % 32) throw std::runtime_error(name + ": blocks of " + std::to_string(threads) + " threads");
  if (dynamic > kShared) throw std::runtime_error(name + ": " + std::to_string(dynamic) + " bytes of shared memory");
  if (grid.y > 65535 || grid.z > 65535) throw std::runtime_error(name + ": grid of " + std::to_string(grid.y) + " x " + std::to_string(grid.z) + " in y and z");
  m.settings = settings, m.body = &body, m.dynamic_bytes = dynamic, m.seed = 1, m.failure.clear();
  here.block_size = block, here.grid_size = grid;
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; i++) {
    const uint64_t b = settings.order == Order::descending ? blocks - 1 - i : i;
    here.block = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / (uint64_t(grid.x) * grid.y))};
    run_block();
    if (m.failure.empty()) continue;
    throw std::runtime_error(name + ", block " + std::to_string(here.block.x) + "," + std::to_string(here.block.y) + "," + std::to_string(here.block.z) + ": " +
                             m.failure);
  }
}

// ---- meeting -----------------------------------------------------------------------------------------------------------

void barrier(int id, unsigned threads, Site site) {
  Barrier& b = machine().barriers[id];
  if (b.arrived && b.expected != threads) fail("a barrier is waited for with different numbers of threads", site);
  b.expected = threads;
  if (++b.arrived < threads) {
    b.waiting.push_back(here.linear);
    return wait_here("a barrier", site);
  }
  b.arrived = 0;
  for (unsigned thread : b.waiting) wake(thread);
  b.waiting.clear();
}

void meet(uint32_t mask, void* mine, void (*combine)(void** lanes), Site site) {
  Multiprocessor& m = machine();
  const unsigned first = here.linear & ~31u, lane = here.linear & 31;
  Warp& w = m.warps[first / 32];
  if (!(mask >> lane & 1)) fail("a lane is not in the mask it gives", site);
  if (w.arrived && w.mask != mask) fail("lanes of a warp meet with different masks", site);
  m.self().brought = mine, w.mask = mask, w.arrived |= 1u << lane;
  if (w.arrived != mask) return wait_here("their warp", site);
  void* lanes[32];
  for (unsigned i = 0; i < 32; i++) lanes[i] = mask >> i & 1 ? m.fibers[first + i].brought : nullptr;
  combine(lanes);
  w.arrived = 0;
  for (unsigned i = 0; i < 32; i++)
    if (i != lane && mask >> i & 1) wake(first + i);
}

void meet_warpgroup(void* mine, void (*combine)(void** threads), Site site) {
  Multiprocessor& m = machine();
  const unsigned first = here.linear & ~127u;
  Warp& g = m.warpgroups[first / 128];
  m.self().brought = mine;
  if (++g.arrived < 128) return wait_here("their warpgroup", site);
  void* threads[128];
  for (unsigned i = 0; i < 128; i++) threads[i] = m.fibers[first + i].brought;
  combine(threads);
  g.arrived = 0;
  for (unsigned i = first; i < first + 128; i++)
    if (i != here.linear) wake(i);
}

// ---- shared memory -----------------------------------------------------------------------------------------------------

void* shared(size_t bytes, size_t alignment, Site site) {
  Multiprocessor& m = machine();
  for (const Declaration& d : m.declarations)
    if (d.site.line == site.line && d.bytes == bytes && !std::strcmp(d.site.file, site.file)) return m.memory + d.offset;
  const size_t offset = (m.used + alignment - 1) / alignment * alignment;
  if (offset + bytes > kShared) fail("more shared memory than a block may have", site);
  m.declarations.push_back({site, bytes, offset});
  m.used = (offset + bytes + kGap) / kGap * kGap;
  ASAN_UNPOISON_MEMORY_REGION(m.memory + offset, bytes);
  std::memset(m.memory + offset, 0xff, bytes);
  return m.memory + offset;
}

void* dynamic_shared() { return machine().memory; }
uint64_t block_number() { return machine().blocks; }
uint32_t address_of(const void* p) { return uint32_t(static_cast<const unsigned char*>(p) - machine().memory); }

void* at_address(uint32_t address, unsigned bytes, unsigned alignment, Site site) {
  if (address % alignment) fail("a shared address is not aligned", site);
  if (address + bytes > kShared) fail("a shared address lies outside the block's memory", site);
  return machine().memory + address;
}

// ---- effects that wait --------------------------------------------------------------------------------------------------

bool hasten() {
  Multiprocessor& m = machine();
  return m.settings.order == Order::descending || (m.settings.order == Order::random && (m.random() & 1));
}

void later(std::function<void()> effect) {
  if (hasten()) effect();
  else machine().self().open.push_back(std::move(effect));
}

void close_group() {
  Fiber& f = machine().self();
  f.groups.push_back(std::move(f.open));
  f.open.clear();
}

void land_groups(int pending) {
  auto& groups = machine().self().groups;
  while (groups.size() > size_t(pending)) {
    for (auto& effect : groups.front()) effect();
    groups.erase(groups.begin());
  }
}

}  // namespace rescunet::sim

// ---- tensor cores: fragments are gathered from the warp, multiplied as matrices, and spread again -----------------------------

namespace rescunet::cuda {

void load_matrix_x4(uint32_t (&r)[4], uint32_t address, sim::Site site) {
  // A row is read when its lane arrives: writes of the others need a __syncwarp before.
  struct Lane { char row[16]; uint32_t* r; } mine{{}, r};
  std::memcpy(mine.row, sim::at_address(address, 16, 16, site), 16);
  sim::meet_as(~0u, mine, [](Lane** lanes) {
    for (int matrix = 0; matrix < 4; matrix++)
      for (int l = 0; l < 32; l++) std::memcpy(&lanes[l]->r[matrix], lanes[matrix * 8 + l / 4]->row + l % 4 * 4, 4);
  }, site);
}

namespace {

struct Fragments { float* c; const uint32_t* a; uint32_t b[2]; };

// kPacked elements to a register: element k of register i belongs to column (lane % 4) * kPacked + k of its half.
template <int kPacked, class Unpack> void multiply_fragments(Fragments** lanes, Unpack unpack) {
  constexpr int kDepth = 8 * kPacked, kHalf = 4 * kPacked;
  float a[16][kDepth], b[kDepth][8], c[16][8];
  for (int l = 0; l < 32; l++) {
    const int row = l / 4, column = l % 4;
    for (int i = 0; i < 4; i++)
      for (int k = 0; k < kPacked; k++) a[row + i % 2 * 8][column * kPacked + k + i / 2 * kHalf] = unpack(lanes[l]->a[i], k);
    for (int i = 0; i < 2; i++)
      for (int k = 0; k < kPacked; k++) b[column * kPacked + k + i * kHalf][row] = unpack(lanes[l]->b[i], k);
    for (int i = 0; i < 4; i++) c[row + i / 2 * 8][column * 2 + i % 2] = lanes[l]->c[i];
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < kDepth; k++)
      for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) lanes[l]->c[i] = c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

}  // namespace

void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, sim::Site site) {
  Fragments mine{c, a, {b0, b1}};
  sim::meet_as(~0u, mine, [](Fragments** lanes) {
    multiply_fragments<2>(lanes, [](uint32_t bits, int k) { return __uint_as_float(k ? bits & 0xffff0000u : bits << 16); });
  }, site);
}

// The hardware reads the upper 19 bits of a register and ignores the rest.
void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, sim::Site site) {
  Fragments mine{c, a, {b0, b1}};
  sim::meet_as(~0u, mine, [](Fragments** lanes) {
    multiply_fragments<1>(lanes, [](uint32_t bits, int) { return __uint_as_float(bits & ~0x1fffu); });
  }, site);
}

}  // namespace rescunet::cuda
