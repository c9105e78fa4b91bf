// The emulated card: memory is the process's own, exactly as large as asked for (so that the address sanitizer sees what a kernel
// reads beyond), and starts as NaN. A captured step is replayed in another order that its dependencies allow, and failures of hardware are
// played on request.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include "branches.h"
#include "device.h"
#include "driver.h"
#include "kernels.h"

namespace rescunet {
namespace {

constexpr unsigned long long kNothing = ~0ull;

/// RESCUNET_SIM_FAILURE=memory:BYTES (the card has no more), kernel:NAME (throws), lost:NAME (the card is lost when it runs, which whoever waits
/// notices), driver:VERSION (as the runtime gives it), cards:0.
struct Failure {
  std::string kind, what;

  Failure() {
    const char* wish = std::getenv("RESCUNET_SIM_FAILURE");
    if (!wish || !*wish) return;
    const std::string text = wish;
    kind = text.substr(0, text.find(':'));
    if (kind.size() < text.size()) what = text.substr(kind.size() + 1);
    for (const char* known : {"memory", "kernel", "lost", "driver", "cards"})
      if (kind == known && !what.empty()) return;
    throw std::runtime_error("RESCUNET_SIM_FAILURE: memory, kernel, lost, driver or cards with a value, got '" + text + "'");
  }
};

/// A list's dependencies, and how often it ran.
struct Step {
  std::vector<std::vector<int>> dependencies;
  uint32_t replays = 0;
};

class SimBackend : public Backend, cuda::Queue {
 public:
  SimBackend() {
    const char* order = std::getenv("RESCUNET_SIM_ORDER");
    if (order && !std::strcmp(order, "descending")) settings_.order = sim::Order::descending;
    else if (order && !std::strcmp(order, "random")) settings_.order = sim::Order::random;
    else if (order && std::strcmp(order, "ascending")) throw std::runtime_error(std::string("RESCUNET_SIM_ORDER: ascending, descending or random, got '") + order + "'");
    const char* wish = std::getenv("RESCUNET_SIM_ARCHITECTURE");
    if (wish) architecture = std::atoi(wish);
    const char* edge = std::getenv("RESCUNET_SIM_WITHOUT_EDGE");
    if (edge) without_ = std::atoi(edge);
    precision = cuda::wanted_precision();
    stream = &settings_;
    constexpr int kBuilt = 13000;
    const std::string problem = driver_problem(failure_.kind == "driver" ? std::stoi(failure_.what) : kBuilt, kBuilt, failure_.kind == "cards" ? 0 : 1);
    if (!problem.empty()) throw std::runtime_error("sim: " + problem);
  }
  ~SimBackend() override {
    for (void* room : rooms_) std::free(room);
  }

  void* allocate(size_t bytes) override {
    check();
    void* p = make(bytes);
    used_ += bytes;
    return p;
  }
  void release(void* p, size_t bytes) override {
    std::free(p);
    used_ -= bytes;
  }
  void run(int opcode, const void* args) override {
    check();
    settings_.kernel = kKernels[opcode].name;
    if (failure_.kind == "kernel" && failure_.what == settings_.kernel) throw std::runtime_error("sim: the launch failed");
    lost_ = lost_ || (failure_.kind == "lost" && failure_.what == settings_.kernel);
    if (!lost_) cuda::kTable[opcode](args, *this);
  }
  void upload(void* to, const void* from, size_t bytes) override { check(), copy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes) override { check(), copy(to, from, bytes); }
  size_t reserved() const override { return used_; }

  // In an order that a card's streams might take; the first replay keeps that of the list.
  void replay(int program, Recorded& list) override {
    Step& step = steps_[program];
    if (step.replays == 0) {
      std::vector<std::vector<Access>> touched(list.size());
      for (size_t i = 0; i < list.size(); i++) touched[i] = list.accesses(i);
      step.dependencies = dependencies(touched);
      int edge = 0;
      for (auto& before : step.dependencies)
        before.erase(std::remove_if(before.begin(), before.end(), [&](int) { return edge++ == without_; }), before.end());
      if (without_ >= edge) throw std::runtime_error("RESCUNET_SIM_WITHOUT_EDGE: the list has " + std::to_string(edge) + " dependencies");
    }
    const size_t count = list.size();
    std::vector<std::vector<int>> after(count);
    std::vector<size_t> missing(count);
    for (size_t i = 0; i < count; i++)
      for (const int before : step.dependencies[i]) after[before].push_back(int(i)), missing[i]++;
    std::vector<int> ready;
    for (size_t i = 0; i < count; i++)
      if (missing[i] == 0) ready.push_back(int(i));
    uint32_t seed = step.replays;
    while (!ready.empty()) {
      const size_t turn = next(ready, step.replays, seed);
      const int i = ready[turn];
      ready.erase(ready.begin() + long(turn));
      list.execute(i);
      for (const int then : after[i])
        if (--missing[then] == 0) ready.insert(std::lower_bound(ready.begin(), ready.end(), then), then);
    }
    step.replays++;
  }
  void forget(int program) override { steps_.erase(program); }

  void* workspace(size_t bytes, Room room) override {
    std::free(rooms_[room]);
    rooms_[room] = nullptr;
    return rooms_[room] = make(bytes);
  }
  unsigned long long* failure() override { return &cell_; }
  int64_t failed_at() override {
    const unsigned long long at = cell_;
    cell_ = kNothing;
    return at == kNothing ? -1 : int64_t(at);
  }
  void read(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }

 private:
  void check() const {
    if (lost_) throw DeviceLost("sim: an illegal memory access was encountered");
  }

  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);  // of nothing there may be no address
  }

  void* make(size_t bytes) {
    void* p;
    if (failure_.kind == "memory" && used_ + bytes > std::stoull(failure_.what)) throw std::bad_alloc();
    if (posix_memalign(&p, 64, bytes ? bytes : 1)) throw std::bad_alloc();
    std::memset(p, 0xff, bytes);
    return p;
  }

  /// Which of those that may run is next: the first, the last, or by lot.
  size_t next(const std::vector<int>& ready, uint32_t replays, uint32_t& seed) const {
    if (replays == 0 || settings_.order == sim::Order::ascending) return 0;
    if (settings_.order == sim::Order::descending) return ready.size() - 1;
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % ready.size();
  }

  const Failure failure_;
  sim::Settings settings_;
  std::unordered_map<int, Step> steps_;
  int without_ = -1;
  bool lost_ = false;
  void* rooms_[kRooms] = {};
  unsigned long long cell_ = kNothing;
  size_t used_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_sim_backend() { return std::make_unique<SimBackend>(); }

}  // namespace rescunet
