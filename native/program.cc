// The instruction decoder and the device thread that runs it.
#include "program.h"
#include <new>
#include <stdexcept>

namespace rescunet {

// ---- decoding ----------------------------------------------------------------------------------------------------------

const void* Reader::input() {
  int index = static_cast<int>(*word++);
  if (index < 0) return nullptr;
  Slot& s = device.slot(index);
  if (s.fault && !fault) fault = s.fault;
  return s.data;
}

void* Reader::output() {
  int index = static_cast<int>(*word++);
  device.outputs_.push_back(index);
  return device.slot(index).data;
}

Ints Reader::integers(int count) {
  Ints r{};
  for (int i = 0; i < count; i++) r.v[i] = integer();
  return r;
}

// The vector does not grow while an instruction is decoded: `execute` reserved a place for every word.
template <class T> List<T> Reader::list(bool written) {
  int64_t count = integer();
  void* const* first = device.items_.data() + device.items_.size();
  for (int64_t i = 0; i < count; i++) {
    void* data = const_cast<void*>(input());
    device.items_.push_back(data);
    if (written) word--, output();
  }
  return {first, count};
}

Counts Reader::counts() {
  int64_t count = integer();
  const double* first = word;
  word += count;
  return {first, count};
}

namespace {

using Decoder = void (*)(Reader&, AnyArgs&);

#define IN(type, name) a.name = static_cast<const type*>(r.input());
#define OPT(type, name) a.name = static_cast<const type*>(r.input());
#define OUT(type, name) a.name = static_cast<type*>(r.output());
#define INOUT(type, name) r.input(), r.word--, a.name = static_cast<type*>(r.output());
#define INT(name) a.name = r.integer();
#define REAL(name) a.name = r.real();
#define INTS(name, count) a.name = r.integers(count);
#define INS(type, name) a.name = r.list<const type>(false);
#define INOUTS(type, name) a.name = r.list<type>(true);
#define COUNTS(name) a.name = r.counts();
#define KERNEL(name, fields) [](Reader& r, AnyArgs& args) { name##_args& a = args.name; fields },
const Decoder kDecoders[] = {
#include "kernels.def"
};
#undef KERNEL
#undef IN
#undef OPT
#undef OUT
#undef INOUT
#undef INT
#undef REAL
#undef INTS
#undef INS
#undef INOUTS
#undef COUNTS

#define IN(type, name) {FieldKind::in, #name, 1, #type},
#define OPT(type, name) {FieldKind::opt, #name, 1, #type},
#define OUT(type, name) {FieldKind::out, #name, 1, #type},
#define INOUT(type, name) {FieldKind::inout, #name, 1, #type},
#define INT(name) {FieldKind::integer, #name, 1, ""},
#define REAL(name) {FieldKind::real, #name, 1, ""},
#define INTS(name, count) {FieldKind::integers, #name, count, ""},
#define INS(type, name) {FieldKind::ins, #name, 0, #type},
#define INOUTS(type, name) {FieldKind::inouts, #name, 0, #type},
#define COUNTS(name) {FieldKind::counts, #name, 0, ""},
#define KERNEL(name, fields) const Field name##_fields[] = {fields};
#include "kernels.def"
#undef KERNEL
#undef IN
#undef OPT
#undef OUT
#undef INOUT
#undef INT
#undef REAL
#undef INTS
#undef INS
#undef INOUTS
#undef COUNTS

}  // namespace

const KernelInfo kKernels[kKernelCount] = {
#define KERNEL(name, fields) {#name, name##_fields, sizeof name##_fields / sizeof(Field)},
#include "kernels.def"
#undef KERNEL
};

void decode(int opcode, Reader& reader, AnyArgs& args) { kDecoders[opcode](reader, args); }

// ---- the device thread -------------------------------------------------------------------------------------------------

namespace {
constexpr size_t kQueueLength = 256;  // lists waiting; the sender blocks beyond, so that memory stays bounded
std::string megabytes(size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }
}  // namespace

Device::Device(std::unique_ptr<Backend> backend) : backend_(std::move(backend)), thread_([this] { loop(); }) {}

Device::~Device() {
  {
    std::lock_guard lock(mutex_);
    quit_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void Device::post(Task task) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return tasks_.size() < kQueueLength || quit_; });
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Device::loop() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !tasks_.empty() || quit_; });
      if (quit_) break;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    changed_.notify_all();
    task();
  }
  for (size_t i = 0; i < slots_.size(); i++) free(static_cast<int>(i));
}

Slot& Device::slot(int index) {
  if (static_cast<size_t>(index) >= slots_.size()) slots_.resize(index + index / 2 + 64);
  return slots_[index];
}

void Device::allocate(int index, size_t bytes) {
  Slot& s = slot(index);
  try {
    s.data = static_cast<char*>(backend_->allocate(bytes));
    s.bytes = bytes;
  } catch (const std::bad_alloc&) {
    s.fault = std::make_shared<std::string>("out of memory: wanted " + megabytes(bytes) + " more, " + megabytes(memory_.bytes) +
                                            " are in use; use a smaller batch or dispose of tensors (tidy, dispose)");
    return;
  }
  std::lock_guard lock(mutex_);
  memory_.bytes += bytes;
  if (memory_.bytes > memory_.peak) memory_.peak = memory_.bytes;
  memory_.reserved = backend_->reserved();
}

void Device::free(int index) {
  Slot& s = slot(index);
  if (s.data && !s.view) {
    backend_->release(s.data, s.bytes);
    std::lock_guard lock(mutex_);
    memory_.bytes -= s.bytes;
    memory_.reserved = backend_->reserved();
  }
  s = Slot();
}

void Device::execute(const std::vector<double>& list) {
  AnyArgs args;
  const double* end = list.data() + list.size();
  items_.reserve(list.size());
  for (const double* word = list.data(); word < end;) {
    int opcode = static_cast<int>(*word++);
    if (opcode >= 0) {
      const double* fields = word;
      Reader reader{*this, word, nullptr};
      items_.clear(), outputs_.clear();
      decode(opcode, reader, args);
      word = reader.word;
      executed_++;
      // Outputs lie in slots of their own, so a missing buffer (out of memory) shows as a fault of the output slot.
      for (size_t i = 0; i < outputs_.size() && !reader.fault; i++) reader.fault = slot(outputs_[i]).fault;
      if (!reader.fault) {
        try {
          const double start = profile_.wanted() ? Profile::now() : 0;
          backend_->run(opcode, &args);
          if (profile_.wanted()) profile_.add(opcode, fields, Profile::now() - start);
          continue;
        } catch (const std::exception& e) {
          reader.fault = std::make_shared<std::string>(std::string(e.what()) + " (kernel " + kKernels[opcode].name + ", instruction " +
                                                       std::to_string(executed_) + ")");
        }
      }
      for (int index : outputs_) slot(index).fault = reader.fault;
      continue;
    }
    switch (opcode) {
      case kAllocate: allocate(static_cast<int>(word[0]), static_cast<size_t>(word[1])), word += 2; break;
      case kFree: free(static_cast<int>(word[0])), word += 1; break;
      case kView: {
        Slot base = slot(static_cast<int>(word[1]));
        slot(static_cast<int>(word[0])) = Slot{base.data ? base.data + static_cast<size_t>(word[2]) : nullptr, 0, true, base.fault};
        word += 3;
        break;
      }
      case kReplay: {
        const int program = static_cast<int>(word[0]);
        backend_->replay(program, [&] { execute(programs_[program]); });
        word += 1;
        break;
      }
      default: throw std::logic_error("program: unknown opcode " + std::to_string(opcode));
    }
  }
}

void Device::submit(std::vector<double> words) {
  post([this, words = std::move(words)] { execute(words); });
}

void Device::define(int program, std::vector<double> words) {
  post([this, program, words = std::move(words)]() mutable { programs_[program] = std::move(words); });
}

void Device::forget(int program) {
  post([this, program] {
    backend_->forget(program);
    programs_.erase(program);
  });
}

void Device::write(int index, const void* data, size_t bytes) {
  std::vector<char> copy(static_cast<const char*>(data), static_cast<const char*>(data) + bytes);
  post([this, index, copy = std::move(copy)] {
    Slot& s = slot(index);
    if (s.data) backend_->upload(s.data, copy.data(), copy.size());
  });
}

void Device::read(int index, void* to, size_t bytes, std::function<void(const std::string*)> done) {
  post([this, index, to, bytes, done = std::move(done)] {
    Slot& s = slot(index);
    if (!s.fault) try {
        backend_->download(to, s.data, bytes);
      } catch (const std::exception& e) {
        s.fault = std::make_shared<std::string>(e.what());
      }
    done(s.fault.get());
  });
}

MemoryInfo Device::memory() const {
  std::lock_guard lock(mutex_);
  return memory_;
}

void Device::reset_peak() {
  std::lock_guard lock(mutex_);
  memory_.peak = memory_.bytes;
}

}  // namespace rescunet
