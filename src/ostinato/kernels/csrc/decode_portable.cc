// Decoding in plain C++ for any CPU: the compiler lowers vectors of 4 floats to what the platform has (SSE2, NEON).
#define LANES 4
#define UNROLL 1
#define ROWS 2
#define ROWS_I8 2
#include "simd.h"

namespace {

constexpr int kBytes = 2, kOffset = 0;
struct Weights {
  I column[4];
};
inline Weights unpack(const int8_t* p) {
  const I w = *reinterpret_cast<const I*>(p);  // a byte a column: little-endian
  return {{w << 24 >> 24, w << 16 >> 24, w << 8 >> 24, w >> 24}};
}
inline I dot(I sum, const Weights& w, const uint8_t* x) {
  const int16_t* q = reinterpret_cast<const int16_t*>(x);
  return sum + (w.column[0] * q[0] + w.column[1] * q[1]) + (w.column[2] * q[2] + w.column[3] * q[3]);
}
inline void put(uint8_t* out, int64_t i, I q) {
  for (int j = 0; j < kLanes; ++j) reinterpret_cast<int16_t*>(out)[i + j] = int16_t(q[j]);
}

}  // namespace

#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodePortable = OSTINATO_DECODE_TABLE(panels_i8);
