// One token from logits: the chain of generation/sampling.py, operation for operation, in float64.
#pragma once
#include "model.h"

namespace ostinato {

struct Sampling {  // as in kernels/native.py
  double temperature, top_p, min_p, log_penalty, presence, frequency;
  int64_t top_k, remembers;
};

// A token whose logit is shifted before all else: by a bias, and for how often it was drawn.
struct Shift {
  uint32_t id;
  double bias;
  int64_t times;
};

// logits: V floats, changed. w: V doubles of working space. recent: the last ids, oldest first. u: in [0, 1).
// shifts: by ascending id, each once. Returns kFine, or kBadScores or kNothingAllowed, and the id.
Status draw(const DecodeTable& table, const Sampling& sampling, int64_t vocabulary, float* logits, double* w,
            const uint32_t* recent, int64_t recents, const std::vector<Shift>& shifts, double u, uint32_t* id);

}  // namespace ostinato
