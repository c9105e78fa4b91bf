// The thread pool of the CPU device. Work is cut into chunks whose number does not depend on the number of threads, so that
// results do not either. Idle threads spin briefly, then sleep: a busy neighbour costs its share and no more.
#pragma once
#include <cstdint>
#include <memory>

namespace rescunet {

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  int threads() const;

  /// Calls f(chunk) for every chunk in [0, chunks), on all threads, in any order; returns when all are done.
  /// The first exception thrown by f is thrown again here.
  template <class F> void run(int64_t chunks, const F& f) {
    run(chunks, [](const void* g, int64_t chunk) { (*static_cast<const F*>(g))(chunk); }, &f);
  }
  /// Calls f(begin, end) over [0, size) in ranges of `grain`.
  template <class F> void split(int64_t size, int64_t grain, const F& f) {
    run((size + grain - 1) / grain, [&](int64_t chunk) { f(chunk * grain, chunk * grain + grain < size ? chunk * grain + grain : size); });
  }

 private:
  void run(int64_t chunks, void (*call)(const void*, int64_t), const void* f);
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace rescunet
