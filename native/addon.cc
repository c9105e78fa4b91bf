// The Node-API surface: a handful of functions over devices, slots and lists of numbers. Nothing else includes napi.h.
#include <napi.h>
#include "cpu/device.h"
#include "cuda/device.h"
#include "device.h"
#include "program.h"

namespace rescunet {
namespace {

size_t byte_length(const Napi::TypedArray& array) { return array.ByteLength(); }
char* bytes(const Napi::TypedArray& array) { return static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset(); }

/// A read under way: keeps the destination alive until the device thread has filled it.
struct PendingRead {
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference destination;
  std::string fault;
};

class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {
        InstanceMethod("kernels", &Addon::Kernels),
        InstanceMethod("info", &Addon::Info),
        InstanceMethod("devices", &Addon::Devices),
        InstanceMethod("open", &Addon::Open),
        InstanceMethod("submit", &Addon::Submit),
        InstanceMethod("define", &Addon::Define),
        InstanceMethod("forget", &Addon::Forget),
        InstanceMethod("write", &Addon::Write),
        InstanceMethod("read", &Addon::Read),
        InstanceMethod("readSync", &Addon::ReadSync),
        InstanceMethod("memory", &Addon::Memory),
        InstanceMethod("resetPeak", &Addon::ResetPeak),
    });
    finished_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "rescunet read", 0, 1);
    finished_.Unref(env);
  }

 private:
  // The table of kernels.def: [{ name, fields: [{ kind, name, words, type }] }], the opcode being the position.
  Napi::Value Kernels(const Napi::CallbackInfo& info) {
    static const char* kinds[] = {"in", "opt", "out", "inout", "int", "real", "ints", "ins", "inouts", "counts"};
    Napi::Env env = info.Env();
    Napi::Array table = Napi::Array::New(env, kKernelCount);
    for (int k = 0; k < kKernelCount; k++) {
      Napi::Array fields = Napi::Array::New(env, kKernels[k].field_count);
      for (int i = 0; i < kKernels[k].field_count; i++) {
        const Field& f = kKernels[k].fields[i];
        Napi::Object field = Napi::Object::New(env);
        field["kind"] = kinds[static_cast<int>(f.kind)];
        field["name"] = f.name;
        field["words"] = f.words;
        field["type"] = f.type;
        fields[i] = field;
      }
      Napi::Object kernel = Napi::Object::New(env);
      kernel["name"] = kKernels[k].name;
      kernel["fields"] = fields;
      table[k] = kernel;
    }
    return table;
  }

  Napi::Value Info(const Napi::CallbackInfo& info) {
    Napi::Object cpu = Napi::Object::New(info.Env()), result = Napi::Object::New(info.Env());
    cpu["instructionSet"] = cpu_instruction_set();
    cpu["bf16"] = cpu_multiplies_bf16();
    cpu["threads"] = cpu_threads();
    result["cpu"] = cpu;
    result["cuda"] = cuda_problem();
    return result;
  }

  static std::string cuda_problem() {
#ifdef RESCUNET_CUDA
    return cuda_device_problem();
#else
    return "the addon was built without CUDA kernels; RESCUNET_CUDA=AUTO npm run build:native builds them where there is an nvcc";
#endif
  }

  // Names that open() takes: the cpu, the cards there are ("cuda" is the first), and in test builds the emulation.
  Napi::Value Devices(const Napi::CallbackInfo& info) {
    std::vector<std::string> names = {"cpu"};
#ifdef RESCUNET_CUDA
    for (int card = 0; card < cuda_device_count(); card++) names.push_back(card ? "cuda:" + std::to_string(card) : "cuda");
#endif
#ifdef RESCUNET_SIM
    names.push_back("sim");
#endif
    Napi::Array result = Napi::Array::New(info.Env(), names.size());
    for (size_t i = 0; i < names.size(); i++) result[uint32_t(i)] = names[i];
    return result;
  }

  static std::unique_ptr<Backend> make_backend(const std::string& name) {
    if (name == "cpu") return make_cpu_backend();
#ifdef RESCUNET_CUDA
    for (int card = 0; card < cuda_device_count(); card++)
      if (name == "cuda:" + std::to_string(card) || (card == 0 && name == "cuda")) return make_cuda_backend(card);
#endif
#ifdef RESCUNET_SIM
    if (name == "sim") return make_sim_backend();
#endif
    throw std::runtime_error("this build or machine has no device '" + name + "'");
  }

  Napi::Value Open(const Napi::CallbackInfo& info) {
    try {
      devices_.push_back(std::make_unique<Device>(make_backend(info[0].As<Napi::String>().Utf8Value())));
    } catch (const std::exception& e) {
      throw Napi::Error::New(info.Env(), e.what());
    }
    return Napi::Number::New(info.Env(), static_cast<double>(devices_.size() - 1));
  }

  Device& device(const Napi::CallbackInfo& info) { return *devices_.at(info[0].As<Napi::Number>().Uint32Value()); }
  static int number(const Napi::CallbackInfo& info, int i) { return info[i].As<Napi::Number>().Int32Value(); }
  static std::vector<double> list(const Napi::CallbackInfo& info, int i) {
    auto words = info[i].As<Napi::Float64Array>();
    return std::vector<double>(words.Data(), words.Data() + info[i + 1].As<Napi::Number>().Int64Value());
  }

  void Submit(const Napi::CallbackInfo& info) { device(info).submit(list(info, 1)); }
  void Define(const Napi::CallbackInfo& info) { device(info).define(number(info, 1), list(info, 2)); }
  void Forget(const Napi::CallbackInfo& info) { device(info).forget(number(info, 1)); }

  void Write(const Napi::CallbackInfo& info) {
    auto data = info[2].As<Napi::TypedArray>();
    device(info).write(number(info, 1), bytes(data), byte_length(data));
  }

  Napi::Value Read(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto to = info[2].As<Napi::TypedArray>();
    auto* pending = new PendingRead{Napi::Promise::Deferred::New(env), Napi::Persistent(to.As<Napi::Object>()), {}};
    if (pending_++ == 0) finished_.Ref(env);
    device(info).read(number(info, 1), bytes(to), byte_length(to), [this, pending](const std::string* fault) {
      if (fault) pending->fault = *fault;
      finished_.BlockingCall(pending, [this](Napi::Env env, Napi::Function, PendingRead* read) {
        if (--pending_ == 0) finished_.Unref(env);
        if (read->fault.empty()) read->deferred.Resolve(read->destination.Value());
        else read->deferred.Reject(Napi::Error::New(env, read->fault).Value());
        delete read;
      });
    });
    return pending->deferred.Promise();
  }

  void ReadSync(const Napi::CallbackInfo& info) {
    auto to = info[2].As<Napi::TypedArray>();
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    std::string failure;
    device(info).read(number(info, 1), bytes(to), byte_length(to), [&](const std::string* fault) {
      std::lock_guard lock(mutex);
      if (fault) failure = *fault;
      done = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
    if (!failure.empty()) throw Napi::Error::New(info.Env(), failure);
  }

  Napi::Value Memory(const Napi::CallbackInfo& info) {
    MemoryInfo memory = device(info).memory();
    Napi::Object result = Napi::Object::New(info.Env());
    result["bytes"] = static_cast<double>(memory.bytes);
    result["peak"] = static_cast<double>(memory.peak);
    result["reserved"] = static_cast<double>(memory.reserved);
    return result;
  }

  void ResetPeak(const Napi::CallbackInfo& info) { device(info).reset_peak(); }

  // Order matters at exit: the device threads end first, then the function they call.
  Napi::ThreadSafeFunction finished_;
  int pending_ = 0;
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace

NODE_API_ADDON(Addon)

}  // namespace rescunet
