// AdamW with clipping of the global norm, over all parameters in one call: one pass for the norm, one for the update.
#pragma once
#include <math.h>
#include <stdlib.h>

#include "train_vector.h"

namespace ostinato::train {
namespace {

constexpr int64_t kPiece = 1 << 14;  // floats of one tensor that a thread takes at a time

// Every piece of every tensor, in one row; `sum` is for what is summed over it.
struct Piece {
  int64_t tensor, begin, end;
  double sum;
};

inline int64_t list_pieces(const AdamCall& call, Piece* to) {
  int64_t count = 0;
  for (int64_t i = 0; i < call.tensors; ++i)
    for (int64_t begin = 0; begin < call.list[i].count; begin += kPiece, ++count)
      if (to) to[count] = {i, begin, least(begin + kPiece, call.list[i].count), 0.0};
  return count;
}

inline double sum_of_squares(const float* p, int64_t count) {
  V sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kWidth <= count; i += 4 * kWidth)
    for (int j = 0; j < 4; ++j) {
      const V g = load(p + i + j * kWidth);
      sum[j] += g * g;
    }
  const V all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  double total = 0;
  for (int lane = 0; lane < kWidth; ++lane) total += double(all[lane]);
  for (; i < count; ++i) total += double(p[i]) * double(p[i]);
  return total;
}

inline V square_root(V x) {
#if defined(__AVX512F__)
  return (V)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (V)_mm256_sqrt_ps((__m256)x);
#elif defined(OSTINATO_NEON)
  return (V)vsqrtq_f32((float32x4_t)x);
#else
  V root;
  for (int lane = 0; lane < kWidth; ++lane) root[lane] = sqrtf(x[lane]);
  return root;
#endif
}

// The step itself, with the gradient's norm known.
inline void update(const AdamCall& call, Team& team, const Piece* pieces, int64_t count) {
  const double norm = *call.norm;
  const float scale = call.clip > 0 && norm > call.clip ? float(call.clip / (norm + 1e-6)) : 1.0f;
  // Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
  const double correction1 = 1 - pow(call.beta1, double(call.step)), correction2 = 1 - pow(call.beta2, double(call.step));
  const float step = float(call.learning_rate / correction1), root = float(1 / sqrt(correction2)), epsilon = float(call.epsilon);
  const float b1 = float(call.beta1), b2 = float(call.beta2), rest1 = float(1 - call.beta1), rest2 = float(1 - call.beta2);
  auto update = [&](float* p, float* m, float* v, const float* gradient, float keep) {
    const V g = load(gradient) * scale;
    const V first = load(m) * b1 + g * rest1, second = load(v) * b2 + g * g * rest2;
    store(m, first);
    store(v, second);
    store(p, load(p) * keep - first * step / (square_root(second) * root + epsilon));
  };
  team.share(count, [&](int64_t piece) {
    const AdamTensor& t = call.list[pieces[piece].tensor];
    const int64_t begin = pieces[piece].begin, end = pieces[piece].end;
    const float keep = float(1 - call.learning_rate * t.weight_decay);
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth) update(t.parameter + i, t.first + i, t.second + i, t.gradient + i, keep);
    if (i == end) return;
    float p[kWidth] = {}, m[kWidth] = {}, v[kWidth] = {}, g[kWidth] = {};
    const size_t bytes = size_t(end - i) * sizeof(float);
    memcpy(p, t.parameter + i, bytes), memcpy(m, t.first + i, bytes), memcpy(v, t.second + i, bytes), memcpy(g, t.gradient + i, bytes);
    update(p, m, v, g, keep);
    memcpy(t.parameter + i, p, bytes), memcpy(t.first + i, m, bytes), memcpy(t.second + i, v, bytes);
  });
}

void adamw(const AdamCall& call) {
  const int64_t count = list_pieces(call, nullptr);
  Piece* const pieces = static_cast<Piece*>(malloc(size_t(count + 1) * sizeof(Piece)));
  if (!pieces) {
    *call.norm = NAN;  // the caller skips the step
    return;
  }
  list_pieces(call, pieces);
  Team team(call.threads);
  team.share(count, [&](int64_t i) {
    Piece& p = pieces[i];
    p.sum = sum_of_squares(call.list[p.tensor].gradient + p.begin, p.end - p.begin);
  });
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += pieces[i].sum;
  *call.norm = sqrt(total);
  if (*call.norm < HUGE_VAL) update(call, team, pieces, count);  // infinite or NaN: the caller skips the step, nothing is changed
  free(pieces);
}

}  // namespace
}  // namespace ostinato::train
