// A graphics card: one stream in the order of the instructions, memory from the driver's stream-ordered pool, transfers through
// pinned staging, and captured steps as CUDA graphs. The runtime is linked statically and finds the driver when first asked, so
// that the addon loads on machines without one.
#include "device.h"
#include <array>
#include <cstring>
#include <unordered_map>
#include <vector>
#include "kernels.h"

namespace rescunet {
namespace {

using cuda::check;

constexpr size_t kStaging = size_t(4) << 20;
constexpr unsigned long long kNothing = ~0ull;

/// Two pinned buffers that take turns, so that one is filled while the other travels.
class Staging {
 public:
  void open() {
    for (Buffer& b : buffers_) {
      check(cudaMallocHost(&b.data, kStaging));
      check(cudaEventCreateWithFlags(&b.travelled, cudaEventDisableTiming));
    }
  }
  void close() {
    for (Buffer& b : buffers_) cudaFreeHost(b.data), cudaEventDestroy(b.travelled);
  }

  void upload(char* to, const char* from, size_t bytes, cudaStream_t stream) {
    for (size_t done = 0; done < bytes; done += kStaging) {
      Buffer& b = take();
      const size_t n = std::min(kStaging, bytes - done);
      std::memcpy(b.data, from + done, n);
      check(cudaMemcpyAsync(to + done, b.data, n, cudaMemcpyHostToDevice, stream));
      check(cudaEventRecord(b.travelled, stream));
    }
  }

  void download(char* to, const char* from, size_t bytes, cudaStream_t stream) {
    size_t sent = 0, received = 0;
    Buffer* sending = nullptr;
    while (received < bytes) {
      Buffer* next = nullptr;
      if (sent < bytes) {
        next = &take();
        check(cudaMemcpyAsync(next->data, from + sent, std::min(kStaging, bytes - sent), cudaMemcpyDeviceToHost, stream));
        check(cudaEventRecord(next->travelled, stream));
        sent += std::min(kStaging, bytes - sent);
      }
      if (sending) {
        check(cudaEventSynchronize(sending->travelled));
        const size_t n = std::min(kStaging, bytes - received);
        std::memcpy(to + received, sending->data, n);
        received += n;
      }
      sending = next;
    }
  }

 private:
  struct Buffer {
    char* data = nullptr;
    cudaEvent_t travelled = nullptr;
  };
  Buffer& take() {
    Buffer& b = buffers_[turn_ ^= 1];
    check(cudaEventSynchronize(b.travelled));
    return b;
  }
  Buffer buffers_[2];
  int turn_ = 0;
};

class CudaBackend : public Backend, cuda::Queue {
 public:
  explicit CudaBackend(int card) : card_(card) {
    precision = cuda::wanted_precision();
    check(cudaSetDevice(card_));
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, card_));
    if (properties.major < 8)
      throw std::runtime_error(std::string("cuda: ") + properties.name + " is of compute capability " + std::to_string(properties.major) + "." +
                               std::to_string(properties.minor) + ", the kernels need 8.0; use the device 'cpu'");
    architecture = properties.major == 9 ? 90 : 80;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
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
    for (void* room : rooms_) cudaFree(room);
    cudaFree(failures_);
    staging_.close();
    cudaStreamDestroy(stream);
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
    return bytes + room_bytes_[kParts] + room_bytes_[kOperands];
  }

  // The first replay runs the list as it is, which also grows the workspace; the second becomes a graph.
  void replay(int program, const std::function<void()>& list) override {
    bind();
    Step& step = steps_[program];
    if (step.replays++ == 0 || step.unfit) return list();
    if (!step.graph || step.rooms != rooms_) capture(step, list);
    if (step.unfit) return list();
    check(cudaGraphLaunch(step.graph, stream));
    captured_failures_ = true;
  }
  void forget(int program) override {
    auto found = steps_.find(program);
    if (found == steps_.end()) return;
    check(cudaStreamSynchronize(stream));
    found->second.forget();
    steps_.erase(found);
  }

  void* workspace(size_t bytes, Room room) override {
    if (bytes > room_bytes_[room]) {
      if (capturing_) throw std::runtime_error("cuda: the workspace cannot grow inside a captured step");
      check(cudaStreamSynchronize(stream));
      check(cudaFree(rooms_[room]));
      rooms_[room] = nullptr, room_bytes_[room] = 0;
      check(cudaMalloc(&rooms_[room], bytes));
      room_bytes_[room] = bytes;
    }
    return rooms_[room];
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
  using Rooms = std::array<void*, kRooms>;
  struct Step {
    int replays = 0;
    bool unfit = false;
    Rooms rooms = {};  // those its kernels were given
    cudaGraphExec_t graph = nullptr;
    void forget() {
      if (graph) cudaGraphExecDestroy(graph);
      graph = nullptr;
    }
  };

  // Any thread may have been bound to another card.
  void bind() { check(cudaSetDevice(card_)); }

  void capture(Step& step, const std::function<void()>& list) {
    step.forget();
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    capturing_ = true;
    list();
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream, &graph) != cudaSuccess || cudaGraphInstantiate(&step.graph, graph, 0) != cudaSuccess) {
      cudaGetLastError();
      step.graph = nullptr, step.unfit = true;
    }
    if (graph) cudaGraphDestroy(graph);
    step.rooms = rooms_;
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
  Staging staging_;
  Rooms rooms_ = {};  // the workspace
  size_t room_bytes_[kRooms] = {};
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

std::unique_ptr<Backend> make_cuda_backend(int card) { return std::make_unique<CudaBackend>(card); }

}  // namespace rescunet
