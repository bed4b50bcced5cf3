// Training kernels: bfloat16 on AVX512-BF16, which some CPUs of this level have (train.cc asks).
#pragma GCC target("avx512bf16")
#include "train_bfloat.h"
#include "train_table.h"

namespace ostinato::train {

const Table kBfloatVnni = table_of<BfloatEngine>(nullptr, nullptr);

}  // namespace ostinato::train
