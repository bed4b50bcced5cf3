// Vectors of LANES floats in the compiler's own notation, with exp, sigmoid and tanh. Included by files of one instruction
// set each; everything is in an anonymous namespace, so that no other file's copy is taken in its place.
#pragma once
#include <cstdint>

#if !defined(LANES)
#error "define LANES, the floats of a vector, before including simd.h"
#endif

namespace {

typedef float F __attribute__((vector_size(4 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));
typedef double D __attribute__((vector_size(4 * LANES)));
typedef int64_t J __attribute__((vector_size(4 * LANES)));
typedef F UnalignedF __attribute__((aligned(4)));
typedef I UnalignedI __attribute__((aligned(4)));
typedef D UnalignedD __attribute__((aligned(8)));
typedef float HalfF __attribute__((vector_size(2 * LANES)));  // as many floats as D has doubles
typedef HalfF UnalignedHalfF __attribute__((aligned(4)));
constexpr int kLanes = LANES, kDoubles = LANES / 2;

inline F load(const float* p) { return *reinterpret_cast<const UnalignedF*>(p); }
inline void store(float* p, F v) { *reinterpret_cast<UnalignedF*>(p) = v; }
inline D load(const double* p) { return *reinterpret_cast<const UnalignedD*>(p); }
inline void store(double* p, D v) { *reinterpret_cast<UnalignedD*>(p) = v; }
inline D widen(const float* p) { return __builtin_convertvector(*reinterpret_cast<const UnalignedHalfF*>(p), D); }

template <class V, class T>
inline V all(T value) {
  return V{} + value;
}

// 2^n and r with x = n ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to a whole number in the low bits of the mantissa;
// ln 2 is taken off in two parts (Cody and Waite). |x| < 88.
struct Reduced {
  F power, r;
};
inline Reduced reduce(F x) {
  const F magic = all<F>(12582912.0f);
  const F shifted = x * 1.44269504f + magic;
  const F n = shifted - magic;
  const F r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  const I power = ((I)shifted + 127) << 23;  // the magic number's own bits fall off at the top
  return {(F)power, r};
}

// e^r - 1 for |r| <= ln 2 / 2: its Taylor polynomial of degree 7, off by less than 6e-9 relative.
inline F small_expm1(F r) {
  F p = all<F>(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  return p * r * r + r;
}

// 1 / (1 + e^-x), within 2 units in the last place; NaN stays NaN.
inline F sigmoid(F x) {
  const F limit = all<F>(87.0f);
  x = x > limit ? limit : x;
  x = x < -limit ? -limit : x;
  const Reduced e = reduce(-x);
  return 1.0f / (1.0f + (e.power + e.power * small_expm1(e.r)));
}

// tanh |x| = (e^2|x| - 1) / (e^2|x| + 1), the numerator without cancellation: within 4 units in the last place, near 0 too.
inline F hyperbolic_tangent(F x) {
  const I sign = (I)x & INT32_MIN;
  F a = (F)((I)x ^ sign);
  const F limit = all<F>(9.1f);  // from here on tanh rounds to 1
  a = a > limit ? limit : a;
  const Reduced e = reduce(a + a);
  const F m = e.power * small_expm1(e.r) + (e.power - 1.0f);
  return (F)((I)(m / (m + 2.0f)) | sign);
}

// e^x for x <= 0 within 1 unit in the last place; 0 below -708; NaN stays NaN. Taylor of degree 13: off by 4e-18.
inline D exponential(D x) {
  const D magic = all<D>(6755399441055744.0);  // 1.5 * 2^52
  const J tiny = x < -708.0;
  const D bounded = tiny ? all<D>(-708.0) : x;
  const D shifted = bounded * 1.4426950408889634 + magic;
  const D n = shifted - magic;
  const D r = (bounded - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  D p = all<D>(1.0 / 6227020800);
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r * r + r;
  const D power = (D)(((J)shifted + 1023) << 52);
  const D result = power + power * p;
  return tiny ? all<D>(0.0) : result;
}

}  // namespace
