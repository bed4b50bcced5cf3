// Training kernels: float32 with the vectors of this instruction set.
#include "train_adamw.h"
#include "train_float.h"
#include "train_peak.h"
#include "train_table.h"

namespace ostinato::train {

const Table kFloatAvx2 = table_of<FloatEngine>(adamw, peak);

}  // namespace ostinato::train
