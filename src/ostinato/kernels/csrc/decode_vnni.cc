// Decoding with AVX-512 and VNNI.
#define LANES 16
#define UNROLL 4
#define ROWS 4
#define ROWS_I8 16
#include "decode_vnni.h"
#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodeVnni = OSTINATO_DECODE_TABLE(panels_i8);
