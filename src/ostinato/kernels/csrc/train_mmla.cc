// Training kernels: bfloat16 on ARM64's matrix instructions.
#include "train_mmla.h"
#include "train_table.h"

namespace ostinato::train {

const Table kBfloatMmla = table_of<MmlaEngine>(nullptr, nullptr);

}  // namespace ostinato::train
