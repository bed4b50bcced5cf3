// Which training kernels run, and on which threads.
#include "train.h"

#include <atomic>
#include <thread>
#include <vector>

#include "api.h"

namespace ostinato::train {
namespace {

enum Precision : int32_t { kFloat = 0, kBfloat = 1 };

#if defined(__x86_64__) && !defined(_MSC_VER)
bool has_bfloat() { return __builtin_cpu_supports("avx512bf16"); }
#else
bool has_bfloat() { return false; }
#endif

// The kernels of `precision` at instruction set `isa` or the best below it; null where there are none.
const Table* table(int32_t precision, int32_t isa) {
  [[maybe_unused]] auto may = [&](Isa wanted) { return isa >= wanted && supports(wanted); };
  if (precision == kBfloat) {
#if defined(OSTINATO_HAVE_AMX)
    if (may(kAmx)) return &kBfloatAmx;
#endif
#if defined(OSTINATO_HAVE_VNNI)
    if (may(kVnni) && has_bfloat()) return &kBfloatVnni;
#endif
    return nullptr;
  }
#if defined(OSTINATO_HAVE_AVX512)
  if (may(kAvx512)) return &kFloatAvx512;
#endif
#if defined(OSTINATO_HAVE_AVX2)
  if (may(kAvx2)) return &kFloatAvx2;
#endif
  return &kFloatPortable;
}

// The entry points of an OpenMP library of GCC's interface (libgomp, libomp): given by set_pool.
struct Pool {
  void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags) = nullptr;
  int (*thread)() = nullptr;
  int (*count)() = nullptr;
} pool;

struct Job {
  void (*work)(void*, int, int);
  void* context;
};

void in_pool(void* job) {
  const Job& j = *static_cast<Job*>(job);
  j.work(j.context, pool.thread(), pool.count());
}

}  // namespace

void run_team(int64_t threads, void (*work)(void*, int, int), void* context) {
  if (threads <= 1) return work(context, 0, 1);
  if (pool.parallel) {
    Job job{work, context};
    return pool.parallel(in_pool, &job, unsigned(threads), 0);
  }
  std::vector<std::thread> others;
  for (int64_t rank = 1; rank < threads; ++rank) others.emplace_back(work, context, int(rank), int(threads));
  work(context, 0, int(threads));
  for (std::thread& other : others) other.join();
}

}  // namespace ostinato::train

using ostinato::train::Table;

// Makes the kernels run on the threads of an OpenMP library (torch's): two pools that spin would fight for the cores.
OSTINATO_API void ostinato_train_set_pool(void* parallel, void* thread, void* count) {
  using ostinato::train::pool;
  pool.thread = reinterpret_cast<int (*)()>(thread);
  pool.count = reinterpret_cast<int (*)()>(count);
  pool.parallel = reinterpret_cast<void (*)(void (*)(void*), void*, unsigned, unsigned)>(parallel);
}

// The kernels for a precision (0 float32, 1 bfloat16 products) at most of instruction set `isa`; null: there are none.
OSTINATO_API const Table* ostinato_train_table(int32_t precision, int32_t isa) { return ostinato::train::table(precision, isa); }

OSTINATO_API void ostinato_train_layer_sizes(const Table* t, const ostinato::train::LayerCall* call, ostinato::train::LayerSizes* sizes) {
  t->layer_sizes(*call, *sizes);
}
OSTINATO_API void ostinato_train_layer_forward(const Table* t, const ostinato::train::LayerCall* call) { t->layer_forward(*call); }
OSTINATO_API void ostinato_train_layer_backward(const Table* t, const ostinato::train::LayerCall* call) { t->layer_backward(*call); }
OSTINATO_API int64_t ostinato_train_head_workspace(const Table* t, const ostinato::train::HeadCall* call) { return t->head_workspace(*call); }
OSTINATO_API void ostinato_train_head(const Table* t, const ostinato::train::HeadCall* call) { t->head(*call); }
OSTINATO_API void ostinato_train_adamw(const Table* t, const ostinato::train::AdamCall* call) { t->adamw(*call); }
