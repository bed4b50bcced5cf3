// Training kernels: bfloat16 on AMX tiles.
#include "train_bfloat.h"
#include "train_table.h"

namespace ostinato::train {

const Table kBfloatAmx = table_of<BfloatEngine>(nullptr, nullptr);

}  // namespace ostinato::train
