// Training kernels: float32 with the vectors of this instruction set.
#define OSTINATO_NEON
#include "train_adamw.h"
#include "train_float.h"
#include "train_head.h"
#include "train_layer.h"
#include "train_peak.h"

namespace ostinato::train {

const Table kFloatNeon = {
    Layer<FloatEngine>::sizes,
    Layer<FloatEngine>::forward,
    Layer<FloatEngine>::backward,
    Head<FloatEngine>::workspace,
    Head<FloatEngine>::compute,
    adamw,
    peak,
};

}  // namespace ostinato::train
