// The thread pool: one word announces work. Every thread has a range of the chunks, the same in every run, and takes from the others'
// when its own is done: what one kernel wrote then lies in the cache of the thread that reads it in the next. Nobody waits for a worker that is
// still waking up when all chunks are taken (on a virtual machine that takes some 0.1 ms, as long as many a kernel): it is not let in any more.
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

// The word: which run, whether workers may still join it, and how many are in it.
constexpr uint64_t kRun = uint64_t(1) << 32, kOpen = uint64_t(1) << 31;
constexpr bool joinable(uint64_t word, uint64_t seen) { return (word & kOpen) && word / kRun != seen; }
constexpr bool left(uint64_t word) { return word % kRun == 0; }  // closed, and nobody in it

struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};
}  // namespace

struct Pool::Shared {
  void (*call)(const void*, int64_t) = nullptr;
  const void* f = nullptr;
  std::vector<Range> ranges;  // of the caller, then of the workers
  std::atomic<uint64_t> word{0};
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
    uint64_t seen = 0;
    for (;;) {
      uint64_t now = word.load(std::memory_order_acquire);
      for (int spin = 0; spin < kSpins && !joinable(now, seen); spin++, now = word.load(std::memory_order_acquire)) RELAX();
      if (!joinable(now, seen)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return quit || joinable(now = word.load(std::memory_order_acquire), seen); });
        if (quit) return;
      }
      if (!word.compare_exchange_strong(now, now + 1, std::memory_order_acq_rel)) continue;
      seen = now / kRun;
      take(thread);
      if (left(word.fetch_sub(1, std::memory_order_acq_rel) - 1)) {
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
  {
    std::lock_guard lock(s.mutex);
    s.word.store((s.word.load(std::memory_order_relaxed) / kRun + 1) * kRun | kOpen, std::memory_order_release);
  }
  s.wake.notify_all();
  s.take(0);
  s.word.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spin = 0; spin < kSpins && !left(s.word.load(std::memory_order_acquire)); spin++) RELAX();
  if (!left(s.word.load(std::memory_order_acquire))) {
    std::unique_lock lock(s.mutex);
    s.done.wait(lock, [&] { return left(s.word.load(std::memory_order_acquire)); });
  }
  if (s.failure) std::rethrow_exception(s.failure);
}

}  // namespace rescunet
