// The yardstick for products in float32: multiply-adds that wait for nothing.
#pragma once
#include <chrono>

#include "train_vector.h"

namespace ostinato::train {
namespace {

// The best of ten loops of about a millisecond.
double peak() {
  constexpr int kSums = 12, kTurns = 100'000;
  V sums[kSums] = {}, factor = splat(0.999f), term = splat(0.001f);
  double best = 0;
  for (int loop = 0; loop < 10; ++loop) {
    const auto begin = std::chrono::steady_clock::now();
    for (int turn = 0; turn < kTurns; ++turn) {
#if defined(__aarch64__)
      __asm__ volatile("" : "+w"(factor));  // ARM adds to a sum in place: that the product is always the same must not show
      for (V& sum : sums) sum += factor * term;
#else
      for (V& sum : sums) sum = sum * factor + term;
#endif
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double rate = 2.0 * kSums * kWidth * kTurns / seconds / 1e9;
    if (rate > best) best = rate;
  }
  V total = {};
  for (const V& sum : sums) total += sum;
  return total[0] == 12345.0f ? 0.0 : best;
}

}  // namespace
}  // namespace ostinato::train
