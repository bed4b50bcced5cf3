// Which training kernels run.
#include "train.h"

#include "api.h"
#include "pool.h"

namespace ostinato::train {
namespace {

enum Precision : int32_t { kFloat = 0, kBfloat = 1 };

// The kernels of `precision` at instruction set `isa` or the best below it; null where there are none.
const Table* table(int32_t precision, int32_t isa) {
  [[maybe_unused]] auto may = [&](Isa wanted) { return isa >= wanted && supports(wanted); };
  if (precision == kBfloat) {
#if defined(OSTINATO_HAVE_AMX)
    if (may(kAmx)) return &kBfloatAmx;
#endif
#if defined(OSTINATO_HAVE_MMLA)
    if (may(kMmla)) return &kBfloatMmla;
#endif
#if defined(OSTINATO_HAVE_BF16)
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
#if defined(OSTINATO_HAVE_NEON)
  if (may(kNeon)) return &kFloatNeon;
#endif
  return &kFloatPortable;
}

}  // namespace
}  // namespace ostinato::train

using ostinato::train::Table;

// 1 while kernels run on the calling thread alone, because the other cores are busy with other work.
OSTINATO_API int32_t ostinato_train_alone() { return ostinato::helpers_rest(); }

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
// GFLOP/s of multiply-adds on one thread with `t`'s vectors; 0 where it is not known.
OSTINATO_API double ostinato_train_peak(const Table* t) { return t->peak ? t->peak() : 0.0; }
