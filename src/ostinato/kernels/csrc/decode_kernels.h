// The functions of DecodeTable in terms of simd.h, but for int8 products. A file of one instruction set defines LANES, and as
// its registers allow UNROLL (how many partial sums a float product has) and ROWS (how many vectors go through a panel at
// once), and, before including this file:
//   kOffset, kTogether: what the table says of int8
//   void put(uint8_t* x, int64_t i, I q): writes quantized values i .. i + LANES - 1
#pragma once
#include "decode_table.h"
#include "simd.h"

namespace {

using ostinato::kPanel;
using ostinato::kStep;
constexpr int kVectors = int(kPanel) / kLanes;  // vectors of a panel's row

// One panel times NB vectors. UNROLL columns have sums of their own, so that enough additions are under way at once; it is the
// same for every NB, so that a row's result does not depend, to the last bit, on the rows beside it.
template <int NB>
void panel_f32(const float* w, int64_t k, const float* bias, const float* x, int64_t ldx, float* y, int64_t ldy) {
  F sum[UNROLL][NB][kVectors] = {};
  int64_t i = 0;
  for (; i + UNROLL <= k; i += UNROLL)
#pragma GCC unroll 16
    for (int u = 0; u < UNROLL; ++u)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        const F weight = *reinterpret_cast<const F*>(w + (i + u) * kPanel + v * kLanes);
#pragma GCC unroll 16
        for (int b = 0; b < NB; ++b) sum[u][b][v] += weight * x[b * ldx + i + u];
      }
  for (; i < k; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 16
      for (int b = 0; b < NB; ++b)
        sum[0][b][v] += *reinterpret_cast<const F*>(w + i * kPanel + v * kLanes) * x[b * ldx + i];
#pragma GCC unroll 16
  for (int b = 0; b < NB; ++b)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      F total = sum[0][b][v];
#pragma GCC unroll 16
      for (int u = 1; u < UNROLL; ++u) total += sum[u][b][v];
      if (bias) total += load(bias + v * kLanes);
      store(y + b * ldy + v * kLanes, total);
    }
}

template <int NB>
void rows_f32(const float* w, int64_t k, const float* bias, const float*& x, int64_t ldx, int64_t& rows, float*& y, int64_t ldy) {
  for (; rows >= NB; rows -= NB, x += NB * ldx, y += NB * ldy) panel_f32<NB>(w, k, bias, x, ldx, y, ldy);
}

void panels_f32(const float* w, int64_t k, int64_t panels, const float* bias, const float* x, int64_t ldx, int64_t rows, float* y,
                int64_t ldy) {
  for (int64_t p = 0; p < panels; ++p, w += k * kPanel, y += kPanel) {
    const float* here = bias ? bias + p * kPanel : nullptr;
    const float* xs = x;
    float* ys = y;
    int64_t left = rows;
    if constexpr (ROWS >= 4) rows_f32<4>(w, k, here, xs, ldx, left, ys, ldy);
    rows_f32<2>(w, k, here, xs, ldx, left, ys, ldy);
    rows_f32<1>(w, k, here, xs, ldx, left, ys, ldy);
  }
}

// y = total * scale * x_scale + bias. One copy for all callers: whether a multiplication and an addition become one, rounded
// once, is then the same for all, and so are the results to the last bit.
__attribute__((noinline)) void finish(I total, const float* scale, float x_scale, const float* bias, float* y) {
  const F unit = load(scale) * x_scale, offset = bias ? load(bias) : F{};
  store(y, __builtin_convertvector(total, F) * unit + offset);
}

float quantize(const float* x, int64_t n, uint8_t* out) {
  F largest = {};
  I odd = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const F v = load(x + i), magnitude = (F)((I)v & INT32_MAX);
    largest = magnitude > largest ? magnitude : largest;
    odd |= (v - v) != 0.0f;
  }
  float top = 0;
  int32_t bad = 0;
  for (int i = 0; i < kLanes; ++i) {
    top = largest[i] > top ? largest[i] : top;
    bad |= odd[i];
  }
  // Nothing is left of a vector whose largest value has no finite inverse; one with NaN or infinity makes all products NaN.
  const float scale = top > 1e-30f ? top / 127.0f : 1.0f, inverse = 1.0f / scale;
  const F magic = all<F>(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest whole number
  for (int64_t i = 0; i < n; i += kLanes) put(out, i, (I)(load(x + i) * inverse + magic) - (I)magic);
  return bad ? __builtin_nanf("") : scale;
}

void rnn_gates(const float* gx, const float* gh, const float*, float*, const float*, float* out) {
  for (int i = 0; i < kPanel; i += kLanes) store(out + i, hyperbolic_tangent(load(gx + i) + load(gh + i)));
}

void rnn_relu_gates(const float* gx, const float* gh, const float*, float*, const float*, float* out) {
  for (int i = 0; i < kPanel; i += kLanes) {
    const F sum = load(gx + i) + load(gh + i);
    store(out + i, sum < 0.0f ? F{} : sum);
  }
}

// r = sigmoid, z = sigmoid, n = tanh(x_n + r (h_n + b_hn)), h' = (1 - z) n + z h: Cho et al. (2014) in torch's form.
void gru_gates(const float* gx, const float* gh, const float* b_hn, float*, const float* h, float* out) {
  for (int i = 0; i < kPanel; i += kLanes) {
    const F r = sigmoid(load(gx + i) + load(gh + i));
    const F z = sigmoid(load(gx + kPanel + i) + load(gh + kPanel + i));
    const F n = hyperbolic_tangent(load(gx + 2 * kPanel + i) + r * (load(gh + 2 * kPanel + i) + load(b_hn + i)));
    store(out + i, n + z * (load(h + i) - n));
  }
}

// c' = f c + i g, h' = o tanh c': Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000).
void lstm_gates(const float* gx, const float* gh, const float*, float* c, const float*, float* out) {
  for (int i = 0; i < kPanel; i += kLanes) {
    const F in = sigmoid(load(gx + i) + load(gh + i));
    const F forget = sigmoid(load(gx + kPanel + i) + load(gh + kPanel + i));
    const F g = hyperbolic_tangent(load(gx + 2 * kPanel + i) + load(gh + 2 * kPanel + i));
    const F o = sigmoid(load(gx + 3 * kPanel + i) + load(gh + 3 * kPanel + i));
    const F cell = forget * load(c + i) + in * g;
    store(c + i, cell);
    store(out + i, o * hyperbolic_tangent(cell));
  }
}

float largest(const float* x, int64_t n) {
  float top = x[0];
  int64_t i = 0;
  if (n >= kLanes) {
    F best = load(x);
    I odd = best != best;
    for (; i + kLanes <= n; i += kLanes) {
      const F v = load(x + i);
      best = v > best ? v : best;
      odd |= v != v;
    }
    for (int j = 0; j < kLanes; ++j) {
      if (odd[j]) return __builtin_nanf("");
      top = best[j] > top ? best[j] : top;
    }
  }
  for (; i < n; ++i) {
    if (x[i] != x[i]) return x[i];
    top = x[i] > top ? x[i] : top;
  }
  return top;
}

double log_sum_exp(const float* x, int64_t n) {
  const double top = largest(x, n);
  D total = {};
  int64_t i = 0;
  for (; i + kDoubles <= n; i += kDoubles) total += exponential(widen(x + i) - top);
  double sum = 0;
  for (int j = 0; j < kDoubles; ++j) sum += total[j];
  for (; i < n; ++i) sum += exponential(all<D>(x[i] - top))[0];
  return top + __builtin_log(sum);
}

void weights(const float* x, int64_t n, double temperature, double top, double* w) {
  int64_t i = 0;
  for (; i + kDoubles <= n; i += kDoubles) store(w + i, exponential(widen(x + i) / temperature - top));
  for (; i < n; ++i) w[i] = exponential(all<D>(x[i] / temperature - top))[0];
}

double sum(const double* x, int64_t n) {
  D total[4] = {};
  int64_t i = 0;
  for (; i + 4 * kDoubles <= n; i += 4 * kDoubles)
    for (int u = 0; u < 4; ++u) total[u] += load(x + i + u * kDoubles);
  const D all_four = (total[0] + total[1]) + (total[2] + total[3]);
  double out = 0;
  for (int j = 0; j < kDoubles; ++j) out += all_four[j];
  for (; i < n; ++i) out += x[i];
  return out;
}

}  // namespace

#define OSTINATO_DECODE_TABLE(PANELS_I8) \
  {panels_f32, PANELS_I8, quantize, kOffset, kTogether, {rnn_gates, rnn_relu_gates, gru_gates, lstm_gates}, largest, log_sum_exp, weights, sum}
