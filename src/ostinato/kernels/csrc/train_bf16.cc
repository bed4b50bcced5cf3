// Training kernels: bfloat16 on AVX512-BF16, which some CPUs with VNNI have (`has_bfloat` asks).
#include "train_bfloat.h"
#include "train_table.h"

namespace ostinato::train {

const Table kBfloatVnni = table_of<BfloatEngine>(nullptr, nullptr);

}  // namespace ostinato::train
