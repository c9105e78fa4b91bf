// A graphics card: one stream in the order of the instructions, memory from the driver's stream-ordered pool, transfers through
// pinned staging, and captured steps as CUDA graphs of several streams (branches.h). The runtime is linked statically and finds the driver when
// first asked, so that the addon loads on machines without one.
#include "device.h"
#include <array>
#include <unordered_map>
#include <vector>
#include "branches.h"
#include "driver.h"
#include "kernels.h"
#include "staging.h"

namespace rescunet {
namespace {

using cuda::check;

constexpr unsigned long long kNothing = ~0ull;

class CudaBackend : public Backend, cuda::Queue {
 public:
  explicit CudaBackend(int card) : card_(card) {
    precision = cuda::wanted_precision();
    lanes_.resize(size_t(wanted_streams()));
    check(cudaSetDevice(card_));
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, card_));
    if (properties.major < 8)
      throw std::runtime_error(std::string("cuda: ") + properties.name + " is of compute capability " + std::to_string(properties.major) + "." +
                               std::to_string(properties.minor) + ", the kernels need 8.0; use the device 'cpu'");
    architecture = properties.major == 9 ? 90 : 80;
    for (Lane& lane : lanes_) check(cudaStreamCreateWithFlags(&lane.stream, cudaStreamNonBlocking));
    stream = lanes_[0].stream;
    check(cudaDeviceGetDefaultMemPool(&pool_, card_));
    uint64_t keep = UINT64_MAX;  // released memory stays with the pool
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep));
    staging_.open();
    check(cudaMalloc(&failures_, sizeof(unsigned long long) * kKernelCount));
    check(cudaMemset(failures_, 0xff, sizeof(unsigned long long) * kKernelCount));
  }

  ~CudaBackend() override {
    cudaSetDevice(card_);
    cudaStreamSynchronize(stream);
    for (auto& [number, step] : steps_) step.forget();
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    cudaFree(failures_);
    staging_.close();
    for (Lane& lane : lanes_) {
      for (void* room : lane.rooms) cudaFree(room);
      cudaStreamDestroy(lane.stream);
    }
  }

  void* allocate(size_t bytes) override {
    bind();
    void* p;
    check(cudaMallocAsync(&p, bytes ? bytes : 1, stream));
    return p;
  }
  void release(void* p, size_t) override {
    bind();
    check(cudaFreeAsync(p, stream));
  }

  void run(int opcode, const void* args) override {
    bind();
    opcode_ = opcode;
    cuda::kTable[opcode](args, *this);
  }

  void upload(void* to, const void* from, size_t bytes) override {
    bind();
    staging_.upload(static_cast<char*>(to), static_cast<const char*>(from), bytes, stream);
  }

  void download(void* to, const void* from, size_t bytes) override {
    bind();
    if (captured_failures_) check_captured();
    staging_.download(static_cast<char*>(to), static_cast<const char*>(from), bytes, stream);
    if (bytes == 0) check(cudaStreamSynchronize(stream));
  }

  size_t reserved() const override {
    uint64_t bytes = 0;
    cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &bytes);
    for (const Lane& lane : lanes_)
      for (const size_t room : lane.bytes) bytes += room;
    return bytes;
  }

  // The first replay runs the list as it is and sees what room each instruction wants; the second becomes a graph.
  void replay(int program, Recorded& list) override {
    bind();
    Step& step = steps_[program];
    if (step.wanted.empty() && !step.unfit) return measure(step, list);
    if (!step.unfit && (!step.graph || step.moves != moves_)) capture(step, list);
    const cudaError_t launched = step.unfit ? cudaErrorNotSupported : cudaGraphLaunch(step.graph, stream);
    if (launched == cudaSuccess) {
      captured_failures_ = true;
      return;
    }
    if (cuda::loses_card(launched)) check(launched);
    cudaGetLastError();
    step.unfit = true;  // no memory for it: the list needs none
    Backend::replay(program, list);
  }
  void forget(int program) override {
    bind();
    auto found = steps_.find(program);
    if (found == steps_.end()) return;
    check(cudaStreamSynchronize(stream));
    found->second.forget();
    steps_.erase(found);
  }

  void* workspace(size_t bytes, Room room) override {
    wanted_[room] = std::max(wanted_[room], bytes);
    return lend(lanes_[lane_], room, bytes);
  }

  unsigned long long* failure() override { return failures_ + opcode_; }
  int64_t failed_at() override {
    if (capturing_) return -1;
    unsigned long long at;
    read(&at, failures_ + opcode_, sizeof at);
    if (at == kNothing) return -1;
    check(cudaMemsetAsync(failures_ + opcode_, 0xff, sizeof at, stream));
    return int64_t(at);
  }
  void read(void* to, const void* from, size_t bytes) override { staging_.download(static_cast<char*>(to), static_cast<const char*>(from), bytes, stream); }

 private:
  using RoomBytes = std::array<size_t, kRooms>;
  /// A stream, and the workspace of what runs on it.
  struct Lane {
    cudaStream_t stream = nullptr;
    std::array<void*, kRooms> rooms = {};
    RoomBytes bytes = {};
  };

  struct Step {
    bool unfit = false;
    std::vector<RoomBytes> wanted;  // workspace of each instruction
    int moves = 0;                  // of workspaces, when its kernels were given theirs
    cudaGraphExec_t graph = nullptr;
    void forget() {
      if (graph) cudaGraphExecDestroy(graph);
      graph = nullptr;
    }
  };

  // Any thread may have been bound to another card.
  void bind() { check(cudaSetDevice(card_)); }

  void* lend(Lane& lane, int room, size_t bytes) {
    if (bytes > lane.bytes[room]) {
      if (capturing_) throw std::runtime_error("cuda: the workspace cannot grow inside a captured step");
      check(cudaStreamSynchronize(stream));
      check(cudaFree(lane.rooms[room]));
      lane.rooms[room] = nullptr, lane.bytes[room] = 0, moves_++;
      check(cudaMalloc(&lane.rooms[room], bytes));
      lane.bytes[room] = bytes;
    }
    return lane.rooms[room];
  }

  void measure(Step& step, Recorded& list) {
    std::vector<RoomBytes> wanted(list.size());
    for (size_t i = 0; i < list.size(); i++) {
      wanted_ = {};
      list.execute(i);
      wanted[i] = wanted_;
    }
    step.wanted = std::move(wanted);
    step.unfit = step.wanted.empty();  // nothing to replay
  }

  void capture(Step& step, Recorded& list) {
    step.forget();
    const size_t count = list.size();
    std::vector<std::vector<Access>> touched(count);
    std::vector<double> costs(count);
    for (size_t i = 0; i < count; i++) touched[i] = list.accesses(i), costs[i] = cost(touched[i]);
    const std::vector<Branch> branches = spread(dependencies(touched), costs, int(lanes_.size()));
    std::vector<bool> awaited(count);
    for (const Branch& branch : branches)
      for (const int before : branch.waits) awaited[before] = true;
    while (events_.size() < count + lanes_.size()) {
      events_.emplace_back();
      check(cudaEventCreateWithFlags(&events_.back(), cudaEventDisableTiming));
    }
    cudaGraph_t graph = nullptr;
    try {
      for (size_t i = 0; i < count; i++)
        for (int room = 0; room < kRooms; room++) lend(lanes_[branches[i].stream], room, step.wanted[i][room]);
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
      capturing_ = true;
      check(cudaEventRecord(events_[count], stream));  // where the streams part
      for (size_t s = 1; s < lanes_.size(); s++) check(cudaStreamWaitEvent(lanes_[s].stream, events_[count]));
      for (size_t i = 0; i < count; i++) {
        lane_ = branches[i].stream, stream = lanes_[lane_].stream;
        for (const int before : branches[i].waits) check(cudaStreamWaitEvent(stream, events_[before]));
        list.run(i);
        if (awaited[i]) check(cudaEventRecord(events_[i], stream));
      }
      for (size_t s = 1; s < lanes_.size(); s++) {
        check(cudaEventRecord(events_[count + s], lanes_[s].stream));
        check(cudaStreamWaitEvent(lanes_[0].stream, events_[count + s]));
      }
    } catch (const DeviceLost&) {
      throw;
    } catch (const std::exception&) {
      step.unfit = true;  // a kernel that asks its host, say: such a list runs as it is
    }
    lane_ = 0, stream = lanes_[0].stream;
    const bool ended = capturing_ && cudaStreamEndCapture(stream, &graph) == cudaSuccess;
    capturing_ = false;
    if (!ended || step.unfit || cudaGraphInstantiate(&step.graph, graph, 0) != cudaSuccess) {
      cudaGetLastError();
      step.graph = nullptr, step.unfit = true;
    }
    if (graph) cudaGraphDestroy(graph);
    step.moves = moves_;
  }

  // A replay does not stop for an invalid index: whoever reads next is told.
  void check_captured() {
    captured_failures_ = false;
    std::vector<unsigned long long> at(kKernelCount);
    read(at.data(), failures_, at.size() * sizeof at[0]);
    for (int k = 0; k < kKernelCount; k++) {
      if (at[k] == kNothing) continue;
      check(cudaMemsetAsync(failures_, 0xff, at.size() * sizeof at[0], stream));
      throw std::runtime_error(std::string("cuda: in a captured step ") + kKernels[k].name + " met an index outside its axis, at position " + std::to_string(at[k]));
    }
  }

  int card_, opcode_ = 0;
  cudaMemPool_t pool_ = nullptr;
  cuda::Staging staging_;
  std::vector<Lane> lanes_;  // the first runs all that is not captured
  int lane_ = 0, moves_ = 0;
  RoomBytes wanted_ = {};  // of a workspace, by the newest instruction
  std::vector<cudaEvent_t> events_;
  unsigned long long* failures_ = nullptr;
  std::unordered_map<int, Step> steps_;
  bool capturing_ = false, captured_failures_ = false;
};

}  // namespace

int cuda_device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

std::string cuda_device_problem() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return driver_problem(driver, runtime, cuda_device_count());
}

std::unique_ptr<Backend> make_cuda_backend(int card) { return std::make_unique<CudaBackend>(card); }

}  // namespace rescunet
