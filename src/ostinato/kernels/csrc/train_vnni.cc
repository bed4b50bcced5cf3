// Training kernels: bfloat16 on AVX512-BF16, which some CPUs of this level have (train.cc asks).
#pragma GCC target("avx512bf16")
#include "train_bfloat.h"
#include "train_head.h"
#include "train_layer.h"

namespace ostinato::train {

const Table kBfloatVnni = {
    Layer<BfloatEngine>::sizes,
    Layer<BfloatEngine>::forward,
    Layer<BfloatEngine>::backward,
    Head<BfloatEngine>::workspace,
    Head<BfloatEngine>::compute,
    nullptr,
    nullptr,
};

}  // namespace ostinato::train
