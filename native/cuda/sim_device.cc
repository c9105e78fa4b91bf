// The emulated card: memory is the process's own, exactly as large as asked for (so that the address sanitizer sees what a kernel
// reads beyond), and starts as NaN.
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include "device.h"
#include "kernels.h"

namespace rescunet {
namespace {

constexpr unsigned long long kNothing = ~0ull;

class SimBackend : public Backend, cuda::Queue {
 public:
  SimBackend() {
    const char* order = std::getenv("RESCUNET_SIM_ORDER");
    if (order && !std::strcmp(order, "descending")) settings_.order = sim::Order::descending;
    else if (order && !std::strcmp(order, "random")) settings_.order = sim::Order::random;
    else if (order && std::strcmp(order, "ascending")) throw std::runtime_error(std::string("RESCUNET_SIM_ORDER: ascending, descending or random, got '") + order + "'");
    const char* wish = std::getenv("RESCUNET_SIM_ARCHITECTURE");
    if (wish) architecture = std::atoi(wish);
    precision = cuda::wanted_precision();
    stream = &settings_;
  }
  ~SimBackend() override {
    for (void* room : rooms_) std::free(room);
  }

  void* allocate(size_t bytes) override {
    void* p = make(bytes);
    used_ += bytes;
    return p;
  }
  void release(void* p, size_t bytes) override {
    std::free(p);
    used_ -= bytes;
  }
  void run(int opcode, const void* args) override {
    settings_.kernel = kKernels[opcode].name;
    cuda::kTable[opcode](args, *this);
  }
  void upload(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  size_t reserved() const override { return used_; }

  void* workspace(size_t bytes, Room room) override {
    std::free(rooms_[room]);
    return rooms_[room] = make(bytes);
  }
  unsigned long long* failure() override { return &failure_; }
  int64_t failed_at() override {
    const unsigned long long at = failure_;
    failure_ = kNothing;
    return at == kNothing ? -1 : int64_t(at);
  }
  void read(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }

 private:
  static void* make(size_t bytes) {
    void* p;
    if (posix_memalign(&p, 64, bytes ? bytes : 1)) throw std::bad_alloc();
    std::memset(p, 0xff, bytes);
    return p;
  }

  sim::Settings settings_;
  void* rooms_[kRooms] = {};
  unsigned long long failure_ = kNothing;
  size_t used_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_sim_backend() { return std::make_unique<SimBackend>(); }

}  // namespace rescunet
