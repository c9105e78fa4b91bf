// Transfers between host and card.
#pragma once
#include <algorithm>
#include <cstring>
#include "ptx.h"

namespace rescunet::cuda {

/// Two pinned buffers that take turns, so that one is filled while the other travels.
class Staging {
 public:
  void open() {
    for (Buffer& b : buffers_) {
      check(cudaMallocHost(&b.data, kBytes));
      check(cudaEventCreateWithFlags(&b.travelled, cudaEventDisableTiming));
    }
  }
  void close() {
    for (Buffer& b : buffers_) cudaFreeHost(b.data), cudaEventDestroy(b.travelled);
  }

  void upload(char* to, const char* from, size_t bytes, cudaStream_t stream) {
    for (size_t done = 0; done < bytes; done += kBytes) {
      Buffer& b = take();
      const size_t n = std::min(kBytes, bytes - done);
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
        check(cudaMemcpyAsync(next->data, from + sent, std::min(kBytes, bytes - sent), cudaMemcpyDeviceToHost, stream));
        check(cudaEventRecord(next->travelled, stream));
        sent += std::min(kBytes, bytes - sent);
      }
      if (sending) {
        check(cudaEventSynchronize(sending->travelled));
        const size_t n = std::min(kBytes, bytes - received);
        std::memcpy(to + received, sending->data, n);
        received += n;
      }
      sending = next;
    }
  }

 private:
  static constexpr size_t kBytes = size_t(4) << 20;
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

}  // namespace rescunet::cuda
