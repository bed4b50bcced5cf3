// Context mixing: the next token by binary decisions along a tree of the vocabulary, each mixed from counters of many
// contexts (Mahoney, "Adaptive weighing of context models for lossless data compression", 2005). Integers only, so that
// every machine, and the NumPy twin (kernels/mixing_twin.py), computes the same bits.
#pragma once
#include <cstdint>

namespace ostinato::mixing {

constexpr int kKinds = 20;       // contexts a token is predicted from (contexts() in mixing_context.h)
constexpr int kInputs = 2 * kKinds + 1;  // two a context, and a constant
constexpr int kSets = 4;         // weight sets of the first layer that speak at a node
constexpr int kSetSizes[kSets] = {32, 1024, 1024, 256};
constexpr int kSetRows = 32 + 1024 + 1024 + 256;
constexpr int kHistory = 16;     // tokens a state remembers
constexpr int kLine = 24;        // tokens of a line that the next line remembers
constexpr int kProbe = 8;        // places of a table that an entry may lie in
constexpr int kApmSteps = 33;
constexpr uint32_t kApmRows = 1 << 16;

// What is known before a token. All zeros: nothing was read, which is also how a document starts.
struct State {
  uint32_t history[kHistory];  // the last tokens, newest first
  uint32_t word, before, earlier;  // hashes: the word being read, the one before it, the one before that
  uint32_t position;           // tokens of the line read so far
  uint32_t start;              // hash of the line's first tokens
  uint32_t above_length;       // tokens of the line above
  uint32_t rhyme, rhyme_above; // the last letter of the line above, and of the one above that
  uint32_t letter;             // the last letter read
  uint32_t line[kLine], above[kLine];
};

// The model: pointers to arrays that the caller owns. V: tokens; the tree has V-1 nodes, the root is 0, parents come
// before their children.
struct Model {
  int64_t vocabulary;
  const int32_t* children;      // (V-1, 2): a node, or -1-token
  const int32_t* path_starts;   // (V+1,): where each token's path begins
  const int32_t* path_nodes;    // the nodes of all paths, each from the root down
  const uint8_t* path_bits;     // and the decision taken at each
  const uint32_t* folded;       // (V,): the token in lower case
  const uint8_t* classes;       // (V,): Class
  const uint8_t* ranks;         // (V,): how frequent the token is, 0 the most
  const int16_t* stretch;       // (4096,): ln(p / (1 - p)) in 1/256
  const uint16_t* squash;       // (4096,): its inverse, in 1/65536
  const uint16_t* certain;      // (16,): p of a counter that has seen 1 so many times
  const int32_t* rates;         // (256,): 65536 / (n + 1.5)
  const double* logarithms;     // (65536,): ln(p / 65536)
  uint64_t record_mask, slot_mask;  // sizes of the tables less one; powers of two
  uint16_t* records;            // (size, 2): check and count; token and whether several tokens followed
  uint16_t* slots;              // (size, 3): check; p of a 1 in 1/65536; how often seen and the recent history
  uint32_t* maps;               // (kKinds, 256): p in the high 22 bits and count in the low 10, by history
  int32_t* weights;             // (kSetRows, kInputs), 20 fractional bits
  int32_t* final_weights;       // (32, kSets), 20 fractional bits
  uint16_t* apm;                // (V-1, 33): final probabilities by node
  uint16_t* apm_last;           // (65536, 33): and by the last token
};

enum Class : uint8_t { kEnd = 0, kNewline = 1, kOther = 2, kLetter = 3 };

}  // namespace ostinato::mixing
