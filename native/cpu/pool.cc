// The thread pool: one generation counter announces work. Every thread has a range of the chunks, the same in every run, and takes from the others'
// when its own is done: what one kernel wrote then lies in the cache of the thread that reads it in the next.
#include "pool.h"
#include <algorithm>
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

struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};
}  // namespace

struct Pool::Shared {
  void (*call)(const void*, int64_t) = nullptr;
  const void* f = nullptr;
  std::vector<Range> ranges;  // of the caller, then of the workers
  std::atomic<uint32_t> generation{0};
  std::atomic<int> working{0};  // workers that have not finished the present generation
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable wake, done;
  bool quit = false;
  std::vector<std::thread> workers;

  void take(size_t thread) {
    inside = true;
    for (size_t i = 0; i < ranges.size(); i++) {
      Range& range = ranges[(thread + i) % ranges.size()];
      for (int64_t chunk; !failed.load(std::memory_order_relaxed) && (chunk = range.next.fetch_add(1, std::memory_order_relaxed)) < range.end;) {
        try {
          call(f, chunk);
        } catch (...) {
          if (!failed.exchange(true)) failure = std::current_exception();
        }
      }
    }
    inside = false;
  }

  void loop(size_t thread) {
    uint32_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen; spin++) RELAX();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen || quit; });
      }
      if (quit) return;
      seen = generation.load(std::memory_order_acquire);
      take(thread);
      if (working.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }
};

Pool::Pool(int threads) : shared_(std::make_unique<Shared>()) {
  shared_->ranges = std::vector<Range>(std::max(threads, 1));
  for (int i = 1; i < threads; i++) shared_->workers.emplace_back([s = shared_.get(), i] { s->loop(i); });
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
  s.call = call, s.f = f;
  s.failure = nullptr;
  s.failed.store(false, std::memory_order_relaxed);
  const int64_t threads = int64_t(s.ranges.size());
  for (int64_t t = 0; t < threads; t++) {
    s.ranges[t].next.store(t * chunks / threads, std::memory_order_relaxed);
    s.ranges[t].end = (t + 1) * chunks / threads;
  }
  s.working.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(s.mutex);
    s.generation.fetch_add(1, std::memory_order_release);
  }
  s.wake.notify_all();
  s.take(0);
  for (int spin = 0; spin < kSpins && s.working.load(std::memory_order_acquire) > 0; spin++) RELAX();
  if (s.working.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(s.mutex);
    s.done.wait(lock, [&] { return s.working.load(std::memory_order_acquire) == 0; });
  }
  if (s.failure) std::rethrow_exception(s.failure);
}

}  // namespace rescunet
