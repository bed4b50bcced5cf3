// Training kernels: bfloat16 on AMX tiles.
#include "train_bfloat.h"
#include "train_head.h"
#include "train_layer.h"

namespace ostinato::train {

const Table kBfloatAmx = {
    Layer<BfloatEngine>::sizes,
    Layer<BfloatEngine>::forward,
    Layer<BfloatEngine>::backward,
    Head<BfloatEngine>::workspace,
    Head<BfloatEngine>::compute,
    nullptr,
    nullptr,
};

}  // namespace ostinato::train
