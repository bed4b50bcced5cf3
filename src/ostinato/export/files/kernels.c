// The page's kernels, for WebAssembly with SIMD: `make wasm` builds kernels.wasm from this file alone. Arrays are the caller's,
// as addresses in the one memory; int8 rows are padded with zeros to a multiple of 16. The arithmetic is that of
// kernels/csrc/decode_kernels.h as compiled for CPUs with fused multiply-add, to the last bit: a fused operation is done in
// double precision (the product is exact there) and rounded once more. kernels.js has the same in JavaScript.
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

typedef v128_t F;

static inline F all(float x) { return wasm_f32x4_splat(x); }
static inline F load(const float* p) { return wasm_v128_load(p); }
static inline F add(F a, F b) { return wasm_f32x4_add(a, b); }
static inline F subtract(F a, F b) { return wasm_f32x4_sub(a, b); }
static inline F multiply(F a, F b) { return wasm_f32x4_mul(a, b); }
static inline F high(F a) { return wasm_i64x2_shuffle(a, a, 1, 1); }
static inline v128_t wide(F a) { return wasm_f64x2_promote_low_f32x4(a); }

// a * b + c, rounded once
static inline F fused(F a, F b, F c) {
  const v128_t low = wasm_f64x2_add(wasm_f64x2_mul(wide(a), wide(b)), wide(c));
  const v128_t upper = wasm_f64x2_add(wasm_f64x2_mul(wide(high(a)), wide(high(b))), wide(high(c)));
  return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(upper), 0, 2);
}

// e^x = power * e^r with |r| <= ln 2 / 2, for |x| < 88; the result is e^r - 1.
static inline F reduced(F x, F* power) {
  const F magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  const F shifted = fused(x, all(1.44269504f), magic);
  const F n = subtract(shifted, magic);
  const F r = fused(n, all(-1.42860677e-6f), fused(n, all(-0.693145752f), x));
  *power = wasm_i32x4_shl(wasm_i32x4_add(shifted, wasm_i32x4_splat(127)), 23);
  F p = fused(all(1.0f / 5040), r, all(1.0f / 720));
  p = fused(p, r, all(1.0f / 120));
  p = fused(p, r, all(1.0f / 24));
  p = fused(p, r, all(1.0f / 6));
  p = fused(p, r, all(0.5f));
  return fused(multiply(p, r), r, r);
}

static __attribute__((noinline)) F sigmoid(F x) {
  F power;
  x = wasm_f32x4_max(wasm_f32x4_min(x, all(87.0f)), all(-87.0f));
  const F rest = reduced(wasm_f32x4_neg(x), &power);
  return wasm_f32x4_div(all(1), add(all(1), fused(power, rest, power)));
}

static __attribute__((noinline)) F hyperbolic_tangent(F x) {
  F power;
  const F sign = wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN));
  const F a = wasm_f32x4_min(wasm_v128_xor(x, sign), all(9.1f));
  const F rest = reduced(add(a, a), &power);
  const F m = fused(power, rest, subtract(power, all(1)));
  return wasm_v128_or(wasm_f32x4_div(m, add(m, all(2))), sign);
}

static inline void four(int32_t cell, int32_t hidden, const float* gx, const float* gh, const float* candidate, float* c, float* h) {
  if (cell == 3) {
    const F in = sigmoid(add(load(gx), load(gh)));
    const F forget = sigmoid(add(load(gx + hidden), load(gh + hidden)));
    const F g = hyperbolic_tangent(add(load(gx + 2 * hidden), load(gh + 2 * hidden)));
    const F o = sigmoid(add(load(gx + 3 * hidden), load(gh + 3 * hidden)));
    const F now = fused(forget, load(c), multiply(in, g));
    wasm_v128_store(c, now);
    wasm_v128_store(h, multiply(o, hyperbolic_tangent(now)));
  } else if (cell == 2) {
    const F r = sigmoid(add(load(gx), load(gh)));
    const F z = sigmoid(add(load(gx + hidden), load(gh + hidden)));
    const F n = hyperbolic_tangent(fused(r, add(load(gh + 2 * hidden), load(candidate)), load(gx + 2 * hidden)));
    wasm_v128_store(h, fused(z, subtract(load(h), n), n));
  } else {
    const F sum = add(load(gx), load(gh));
    wasm_v128_store(h, cell == 1 ? wasm_f32x4_pmax(sum, all(0)) : hyperbolic_tangent(sum));
  }
}

// One step of a cell (0 rnn, 1 rnn-relu, 2 gru, 3 lstm). gx, gh (gates, hidden): products with input and state; candidate
// (hidden): gru's b_hn. c and h (hidden) are changed in place. Every `hidden` is a multiple of 4 here, the rest padding.
EXPORT(gates) void gates(int32_t cell, int32_t hidden, const float* gx, const float* gh, const float* candidate, float* c, float* h) {
  for (int32_t i = 0; i < hidden; i += 4) four(cell, hidden, gx + i, gh + i, candidate + i, c + i, h + i);
}

// Whole numbers from -127 to 127 in q (n, a multiple of 16), and the scale that x (n) is q times of.
EXPORT(quantize) float quantize(const float* x, int32_t n, int16_t* q) {
  F largest = all(0);
  for (int32_t i = 0; i < n; i += 4) largest = wasm_f32x4_pmax(largest, wasm_f32x4_abs(load(x + i)));
  float top = wasm_f32x4_extract_lane(largest, 0);
  const float others[3] = {wasm_f32x4_extract_lane(largest, 1), wasm_f32x4_extract_lane(largest, 2), wasm_f32x4_extract_lane(largest, 3)};
  for (int i = 0; i < 3; ++i) top = others[i] > top ? others[i] : top;
  const float scale = top > 1e-30f ? top / 127.0f : 1.0f, inverse = 1.0f / scale;
  for (int32_t i = 0; i < n; i += 4) {
    const F whole = fused(load(x + i), all(inverse), all(12582912.0f));
    const v128_t four = wasm_i32x4_sub(whole, all(12582912.0f));
    wasm_v128_store64_lane(q + i, wasm_i16x8_narrow_i32x4(four, four), 0);
  }
  return scale;
}

// y = (w q) scale x_scale + bias: w (rows, depth) int8, depth a multiple of 16, rows of 4; scale, bias and y (rows).
EXPORT(product) void product(const int8_t* w, int32_t rows, int32_t depth, const float* scale, const float* bias, const int16_t* q,
                             float x_scale, float* y) {
  for (int32_t row = 0; row < rows; row += 4, w += 4 * depth) {
    v128_t sum[4] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
    for (int32_t k = 0; k < depth; k += 8) {
      const v128_t x = wasm_v128_load(q + k);
#pragma unroll
      for (int r = 0; r < 4; ++r)
        sum[r] = wasm_i32x4_add(sum[r], wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w + r * depth + k), x));
    }
    const v128_t a = wasm_i32x4_add(wasm_i32x4_shuffle(sum[0], sum[1], 0, 4, 1, 5), wasm_i32x4_shuffle(sum[0], sum[1], 2, 6, 3, 7));
    const v128_t b = wasm_i32x4_add(wasm_i32x4_shuffle(sum[2], sum[3], 0, 4, 1, 5), wasm_i32x4_shuffle(sum[2], sum[3], 2, 6, 3, 7));
    const v128_t total = wasm_i32x4_add(wasm_i64x2_shuffle(a, b, 0, 2), wasm_i64x2_shuffle(a, b, 1, 3));
    const F unit = multiply(load(scale + row), all(x_scale));
    wasm_v128_store(y + row, fused(wasm_f32x4_convert_i32x4(total), unit, load(bias + row)));
  }
}
