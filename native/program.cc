// The instruction decoder and the device thread that runs it.
#include "program.h"
#include <algorithm>
#include <new>
#include <stdexcept>

namespace rescunet {

// ---- decoding ----------------------------------------------------------------------------------------------------------

const void* Reader::input() {
  int index = static_cast<int>(*word++);
  if (index < 0) return nullptr;
  Slot& s = device.slot(index);
  if (s.fault && !fault) fault = s.fault;
  if (accesses) accesses->push_back({s.data, s.bytes, false});
  return s.data;
}

void* Reader::output() {
  int index = static_cast<int>(*word++);
  device.outputs_.push_back(index);
  const Slot& s = device.slot(index);
  if (accesses) accesses->push_back({s.data, s.bytes, true});
  return s.data;
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

// ---- defined lists -----------------------------------------------------------------------------------------------------

void Backend::replay([[maybe_unused]] int program, Recorded& list) {
  for (size_t i = 0; i < list.size(); i++) list.execute(i);
}

Recorded::Recorded(Device& device, std::vector<double> words) : device_(device), words_(std::move(words)) {
  for (size_t at = 0; at < words_.size();) {
    const int opcode = static_cast<int>(words_[at]);
    if (opcode < 0) throw std::logic_error("program: a defined list has kernels only, got opcode " + std::to_string(opcode));
    begins_.push_back(at);
    const double* word = &words_[at + 1];
    for (int i = 0; i < kKernels[opcode].field_count; i++) {
      const Field& f = kKernels[opcode].fields[i];
      const bool several = f.words == 0;
      const size_t count = several ? size_t(*word++) : size_t(f.words);
      const bool number = f.kind == FieldKind::integer || f.kind == FieldKind::real || f.kind == FieldKind::integers || f.kind == FieldKind::counts;
      for (size_t k = 0; k < count && !number; k++) {
        if (word[k] < 0) continue;
        slots_.push_back(static_cast<int>(word[k]));
        if (f.kind == FieldKind::out || f.kind == FieldKind::inout || f.kind == FieldKind::inouts) written_.push_back(slots_.back());
      }
      word += count;
    }
    at = size_t(word - words_.data());
  }
  for (std::vector<int>* list : {&slots_, &written_}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
}

std::vector<Access> Recorded::accesses(size_t i) {
  std::vector<Access> result;
  AnyArgs args;
  Reader reader{device_, &words_[begins_[i] + 1], nullptr, &result};
  device_.items_.reserve(words_.size());
  device_.items_.clear(), device_.outputs_.clear();
  decode(static_cast<int>(words_[begins_[i]]), reader, args);
  return result;
}

void Recorded::execute(size_t i) {
  const size_t end = i + 1 < begins_.size() ? begins_[i + 1] : words_.size();
  device_.execute(&words_[begins_[i]], words_.data() + end);
}

void Recorded::run(size_t i) {
  AnyArgs args;
  Reader reader{device_, &words_[begins_[i] + 1], nullptr};
  const int opcode = static_cast<int>(words_[begins_[i]]);
  device_.items_.reserve(words_.size());
  device_.items_.clear(), device_.outputs_.clear();
  decode(opcode, reader, args);
  device_.backend_->run(opcode, &args);
}

// ---- the device thread -------------------------------------------------------------------------------------------------

namespace {
constexpr size_t kQueueLength = 256;  // lists waiting; the sender blocks beyond, so that memory stays bounded
std::string megabytes(size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

/// Whether a faulty output is whole again once the kernel has run: the buffers of a step, and what is copied into. Others keep their fault, since
/// scratch of a frozen step holds what its first run left there.
bool renewed(int opcode, const Slot& s) { return s.data && (s.view || opcode == op_copy); }
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

template <class F> Fault Device::ask(F work, size_t wanted) {
  if (lost_) return lost_;
  std::string what;
  try {
    work();
    return nullptr;
  } catch (const DeviceLost& e) {
    lost_ = std::make_shared<std::string>(std::string(e.what()) + ": the device is lost to this process (noticed after kernel " + newest_ + ", instruction " +
                                          std::to_string(executed_) + "; RESCUNET_DEBUG=1 finds the one that failed); start anew, or go on with the device 'cpu'");
    return lost_;
  } catch (const std::bad_alloc&) {
    what = "out of memory: wanted " + (wanted ? megabytes(wanted) + " more" : "room for a kernel's own sums") + ", " + megabytes(memory_.bytes) +
           " are in use; use a smaller batch or dispose of tensors (tidy, dispose)";
  } catch (const std::exception& e) {
    what = e.what();
  }
  return std::make_shared<std::string>(std::move(what));
}

void Device::allocate(int index, size_t bytes) {
  Slot& s = slot(index);
  s.fault = ask([&] { s.data = static_cast<char*>(backend_->allocate(bytes)); }, bytes);
  if (s.fault) return;
  s.bytes = bytes;
  std::lock_guard lock(mutex_);
  memory_.bytes += bytes;
  if (memory_.bytes > memory_.peak) memory_.peak = memory_.bytes;
  memory_.reserved = backend_->reserved();
}

void Device::free(int index) {
  Slot& s = slot(index);
  if (s.data && !s.view) {
    ask([&] { backend_->release(s.data, s.bytes); });
    std::lock_guard lock(mutex_);
    memory_.bytes -= s.bytes;
    memory_.reserved = backend_->reserved();
  }
  s = Slot();
}

void Device::execute(const double* word, const double* end) {
  AnyArgs args;
  items_.reserve(size_t(end - word));
  while (word < end) {
    int opcode = static_cast<int>(*word++);
    if (opcode >= 0) {
      const double* fields = word;
      Reader reader{*this, word, nullptr};
      items_.clear(), outputs_.clear();
      decode(opcode, reader, args);
      word = reader.word;
      executed_++, newest_ = kKernels[opcode].name;
      // Outputs lie in slots of their own, so a missing buffer (out of memory) shows as a fault of the output slot.
      for (size_t i = 0; i < outputs_.size() && !reader.fault; i++)
        if (const Slot& s = slot(outputs_[i]); s.fault && !renewed(opcode, s)) reader.fault = s.fault;
      if (!reader.fault) {
        const double start = profile_.wanted() ? Profile::now() : 0;
        reader.fault = ask([&] { backend_->run(opcode, &args); });
        if (profile_.wanted()) profile_.add(opcode, fields, Profile::now() - start);
        if (reader.fault && reader.fault != lost_)
          reader.fault = std::make_shared<std::string>(*reader.fault + " (kernel " + newest_ + ", instruction " + std::to_string(executed_) + ")");
      }
      for (int index : outputs_) slot(index).fault = reader.fault;
      continue;
    }
    switch (opcode) {
      case kAllocate: allocate(static_cast<int>(word[0]), static_cast<size_t>(word[1])), word += 2; break;
      case kFree: free(static_cast<int>(word[0])), word += 1; break;
      case kView: {
        Slot base = slot(static_cast<int>(word[1]));
        slot(static_cast<int>(word[0])) = Slot{base.data ? base.data + static_cast<size_t>(word[2]) : nullptr, static_cast<size_t>(word[3]), true, base.fault};
        word += 4;
        break;
      }
      case kReplay: replay(static_cast<int>(word[0])), word += 1; break;
      default: throw std::logic_error("program: unknown opcode " + std::to_string(opcode));
    }
  }
}

// A form of the backend's own knows nothing of faults: while there are any, the list runs instruction by instruction.
void Device::replay(int program) {
  Recorded& list = programs_.at(program);
  const auto faulty = [&](int index) { return slot(index).fault != nullptr; };
  if (std::any_of(list.slots_.begin(), list.slots_.end(), faulty)) return execute(list.words_.data(), list.words_.data() + list.words_.size());
  if (const Fault fault = ask([&] { backend_->replay(program, list); }))
    for (int index : list.written_) slot(index).fault = fault;
}

void Device::submit(std::vector<double> words) {
  post([this, words = std::move(words)] { execute(words.data(), words.data() + words.size()); });
}

void Device::define(int program, std::vector<double> words) {
  post([this, program, words = std::move(words)]() mutable { programs_.try_emplace(program, *this, std::move(words)); });
}

void Device::forget(int program) {
  post([this, program] {
    ask([&] { backend_->forget(program); });
    programs_.erase(program);
  });
}

void Device::write(int index, const void* data, size_t bytes) {
  std::vector<char> copy(static_cast<const char*>(data), static_cast<const char*>(data) + bytes);
  post([this, index, copy = std::move(copy)] {
    Slot& s = slot(index);
    if (!s.data || s.fault) return;
    s.fault = ask([&] { backend_->upload(s.data, copy.data(), copy.size()); });
  });
}

void Device::read(int index, void* to, size_t bytes, std::function<void(const std::string*)> done) {
  post([this, index, to, bytes, done = std::move(done)] {
    const Slot& s = slot(index);
    const Fault fault = s.fault ? s.fault : ask([&] { backend_->download(to, s.data, bytes); });
    done(fault.get());
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
