// A device executes instruction lists, in order, on its own thread. Memory is named by slot numbers that TypeScript hands
// out; only the device thread touches the slot table. A kernel that fails marks its outputs as faulty: whatever is computed
// from them is faulty too, reading it reports the kernel, and everything else goes on. Hardware that is lost is not asked again.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#include "failure.h"
#include "kernels.h"
#include "profile.h"

namespace rescunet {

class Recorded;

/// What a kind of hardware must be able to do. Called on the device thread only. Any of it may throw: std::bad_alloc, DeviceLost, or what failed.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* p, size_t bytes) = 0;
  virtual void run(int opcode, const void* args) = 0;
  virtual void upload(void* to, const void* from, size_t bytes) = 0;
  virtual void download(void* to, const void* from, size_t bytes) = 0;
  virtual size_t reserved() const = 0;  // bytes held from the system
  /// Runs a defined list; a backend may keep it in a form of its own.
  virtual void replay(int program, Recorded& list);
  virtual void forget([[maybe_unused]] int program) {}
};

std::unique_ptr<Backend> make_cpu_backend();

/// What went wrong, in words; null where nothing did.
using Fault = std::shared_ptr<const std::string>;

struct Slot {
  char* data = nullptr;
  size_t bytes = 0;
  bool view = false;  // inside another slot: nothing to release
  Fault fault;
};

/// Bytes that an instruction touches.
struct Access {
  const char* begin;
  size_t bytes;
  bool written;
};

class Device;

/// A defined list: kernels and nothing else, whose buffers do not move until it is forgotten.
class Recorded {
 public:
  Recorded(Device& device, std::vector<double> words);

  size_t size() const { return begins_.size(); }
  std::vector<Access> accesses(size_t i);
  /// Runs one instruction as any list would: where it fails, its outputs are faulty.
  void execute(size_t i);
  /// Hands it to the backend and nothing else; throws.
  void run(size_t i);

 private:
  friend class Device;
  Device& device_;
  std::vector<double> words_;
  std::vector<size_t> begins_;
  std::vector<int> slots_, written_;  // each once
};

struct MemoryInfo { size_t bytes, peak, reserved; };

class Device {
 public:
  explicit Device(std::unique_ptr<Backend> backend);
  ~Device();

  void submit(std::vector<double> words);
  /// Keeps a list under a number, to be run by the replay instruction without being sent again.
  void define(int program, std::vector<double> words);
  void forget(int program);
  void write(int slot, const void* data, size_t bytes);
  /// Calls done(nullptr) or done(message) on the device thread when `to` holds the slot's bytes.
  void read(int slot, void* to, size_t bytes, std::function<void(const std::string*)> done);
  MemoryInfo memory() const;
  void reset_peak();

 private:
  friend struct Reader;
  friend class Recorded;
  using Task = std::function<void()>;
  void post(Task task);
  void loop();
  /// Asks the backend for something; what went wrong. `wanted`: bytes, where it asks for memory.
  template <class F> Fault ask(F work, size_t wanted = 0);
  void execute(const double* words, const double* end);
  void replay(int program);
  Slot& slot(int index);
  void allocate(int index, size_t bytes);
  void free(int index);

  std::unique_ptr<Backend> backend_;
  std::vector<Slot> slots_;
  std::unordered_map<int, Recorded> programs_;
  Profile profile_;
  std::vector<void*> items_;   // of the instruction being run: the buffers of its lists
  std::vector<int> outputs_;   // and the slots that it writes
  uint64_t executed_ = 0;  // kernels so far: the number that a failure reports
  const char* newest_ = "";  // and the last one's name
  Fault lost_;               // what took the hardware away

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool quit_ = false;
  MemoryInfo memory_{};
  std::thread thread_;
};

}  // namespace rescunet
