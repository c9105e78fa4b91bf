// The thread pool: one generation counter announces work, chunks are taken from one atomic counter.
#include "pool.h"
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() asm volatile("yield")
#else
#define RELAX() ((void)0)
#endif

namespace rescunet {

namespace {
// About 20 us: longer than the gap between two kernels of a program, shorter than what a busy neighbour would notice.
constexpr int kSpins = 2000;
thread_local bool inside = false;  // in a chunk: nested runs execute inline
}  // namespace

struct Pool::Shared {
  void (*call)(const void*, int64_t) = nullptr;
  const void* f = nullptr;
  int64_t chunks = 0;
  std::atomic<int64_t> next{0};
  std::atomic<uint32_t> generation{0};
  std::atomic<int> working{0};  // workers that have not finished the present generation
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable wake, done;
  bool quit = false;
  std::vector<std::thread> workers;

  void take() {
    inside = true;
    for (int64_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      try {
        call(f, chunk);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
        next.store(chunks, std::memory_order_relaxed);
      }
    }
    inside = false;
  }

  void loop() {
    uint32_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen; spin++) RELAX();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen || quit; });
      }
      if (quit) return;
      seen = generation.load(std::memory_order_acquire);
      take();
      if (working.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }
};

Pool::Pool(int threads) : shared_(std::make_unique<Shared>()) {
  for (int i = 1; i < threads; i++) shared_->workers.emplace_back([s = shared_.get()] { s->loop(); });
}

Pool::~Pool() {
  {
    std::lock_guard lock(shared_->mutex);
    shared_->quit = true;
    shared_->generation.fetch_add(1, std::memory_order_release);
  }
  shared_->wake.notify_all();
  for (std::thread& worker : shared_->workers) worker.join();
}

int Pool::threads() const { return static_cast<int>(shared_->workers.size()) + 1; }

void Pool::run(int64_t chunks, void (*call)(const void*, int64_t), const void* f) {
  Shared& s = *shared_;
  if (inside || chunks <= 1 || s.workers.empty()) {
    for (int64_t chunk = 0; chunk < chunks; chunk++) call(f, chunk);
    return;
  }
  s.call = call, s.f = f, s.chunks = chunks;
  s.failure = nullptr;
  s.failed.store(false, std::memory_order_relaxed);
  s.next.store(0, std::memory_order_relaxed);
  s.working.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(s.mutex);
    s.generation.fetch_add(1, std::memory_order_release);
  }
  s.wake.notify_all();
  s.take();
  for (int spin = 0; spin < kSpins && s.working.load(std::memory_order_acquire) > 0; spin++) RELAX();
  if (s.working.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(s.mutex);
    s.done.wait(lock, [&] { return s.working.load(std::memory_order_acquire) == 0; });
  }
  if (s.failure) std::rethrow_exception(s.failure);
}

}  // namespace rescunet
