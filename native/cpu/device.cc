// The CPU backend: the instruction set chosen at load, the thread pool, and an allocator that keeps released blocks, since
// giving pages back to the system and faulting them in again costs more than most kernels.
#include "../device.h"
#include "device.h"
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <thread>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include "kernels.h"

namespace rescunet {

namespace cpu {
namespace baseline { extern void (*const table[])(const void*, Pool&); }
#ifdef RESCUNET_HAVE_AVX2
namespace avx2 { extern void (*const table[])(const void*, Pool&); }
#endif
#ifdef RESCUNET_HAVE_AVX512
namespace avx512 { extern void (*const table[])(const void*, Pool&); }
#endif
}  // namespace cpu

namespace {

struct InstructionSet { const char* name; cpu::KernelTable table; };

InstructionSet choose() {
  // RESCUNET_ISA=baseline|avx2 lowers the choice (tests, and comparing speeds); it never raises it.
  const char* wish = std::getenv("RESCUNET_ISA");
  auto allowed = [&](const char* name) { return !wish || !*wish || !std::strcmp(wish, name); };
#ifdef RESCUNET_HAVE_AVX512
  if (allowed("avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return {"avx512", cpu::avx512::table};
#endif
#ifdef RESCUNET_HAVE_AVX2
  if ((allowed("avx2") || allowed("avx512")) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"avx2", cpu::avx2::table};
#endif
  return {"baseline", cpu::baseline::table};
}

int thread_count() {
  const char* wish = std::getenv("RESCUNET_THREADS");
  int n = wish ? std::atoi(wish) : 0;
  if (n <= 0) n = static_cast<int>(std::thread::hardware_concurrency());
  return n < 1 ? 1 : n > 256 ? 256 : n;
}

class CpuBackend : public Backend {
 public:
  CpuBackend() : pool_(thread_count()), table_(choose().table) {}
  ~CpuBackend() override { trim(); }

  void* allocate(size_t bytes) override {
    size_t size = block(bytes);
    auto found = cache_.find(size);
    void* p;
    if (found != cache_.end()) {
      p = found->second;
      cache_.erase(found);
      cached_ -= size;
    } else {
      // The cache never lets the total grow beyond the highest use so far, give or take a slack.
      if (used_ + cached_ + size > peak_ + kSlack) trim();
      p = obtain(size);
      if (!p) trim(), p = obtain(size);
      if (!p) throw std::bad_alloc();
    }
    used_ += size;
    if (used_ > peak_) peak_ = used_;
    return p;
  }

  void release(void* p, size_t bytes) override {
    size_t size = block(bytes);
    used_ -= size;
    cached_ += size;
    cache_.emplace(size, p);
  }

  void run(int opcode, const void* args) override { table_[opcode](args, pool_); }
  void upload(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  size_t reserved() const override { return used_ + cached_; }

 private:
  // An empty array of JavaScript lies nowhere.
  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }

  static constexpr size_t kAlignment = 64, kSlack = size_t(64) << 20;

  // Sizes in steps of an eighth of the next lower power of two, so that near sizes share blocks.
  static size_t block(size_t bytes) {
    size_t step = kAlignment;
    while (step * 16 <= bytes) step *= 2;
    return bytes ? (bytes + step - 1) / step * step : step;
  }

  // Large ones in huge pages where the system leaves that to programs: their walks miss the TLB less.
  static void* obtain(size_t size) {
#ifdef MADV_HUGEPAGE
    constexpr size_t kHugePage = size_t(2) << 20;
    if (size >= kHugePage) {
      void* p;
      if (posix_memalign(&p, kHugePage, size)) return nullptr;
      madvise(p, size, MADV_HUGEPAGE);
      return p;
    }
#endif
    return std::aligned_alloc(kAlignment, size);
  }

  void trim() {
    for (auto& [size, p] : cache_) std::free(p);
    cache_.clear();
    cached_ = 0;
  }

  Pool pool_;
  cpu::KernelTable table_;
  std::multimap<size_t, void*> cache_;
  size_t used_ = 0, cached_ = 0, peak_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }
const char* cpu_instruction_set() { return choose().name; }
bool cpu_multiplies_bf16() {
#ifdef RESCUNET_HAVE_AVX512
  return !std::strcmp(choose().name, "avx512") && __builtin_cpu_supports("avx512bf16");  // as cpu/bf16.h
#else
  return false;
#endif
}
int cpu_threads() { return thread_count(); }

}  // namespace rescunet
