// One token from logits: the chain of generation/sampling.py, operation for operation, in float64.
#pragma once
#include "model.h"

namespace ostinato {

struct Sampling {  // as in kernels/native.py
  double temperature, top_p, min_p, log_penalty;
  int64_t top_k, remembers;
};

// logits: V floats, changed. w: V doubles of working space. recent: the last ids, oldest first. u: in [0, 1).
// Returns kFine, or kBadScores or kNothingAllowed, and the id.
Status draw(const DecodeTable& table, const Sampling& sampling, int64_t vocabulary, float* logits, double* w,
            const uint32_t* recent, int64_t recents, double u, uint32_t* id);

}  // namespace ostinato
