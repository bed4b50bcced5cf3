// What a token is predicted from: the state after each token, and the hashed contexts of a state.
#pragma once
#include <cstring>

#include "mixing.h"

namespace ostinato::mixing {

inline uint32_t mix(uint32_t hash, uint32_t value) {
  hash = (hash + value + 1) * 0x9E3779B1u;
  return hash ^ (hash >> 15);
}

// The state after one more token.
inline void advance(const Model& m, State& s, uint32_t token) {
  if (token == 0) {
    std::memset(&s, 0, sizeof s);
    return;
  }
  for (int i = kHistory - 1; i > 0; --i) s.history[i] = s.history[i - 1];
  s.history[0] = token;
  if (m.classes[token] == kLetter) {
    s.word = mix(s.word, m.folded[token]);
    s.letter = m.folded[token];
  } else if (s.word) {
    s.earlier = s.before;
    s.before = s.word;
    s.word = 0;
  }
  if (m.classes[token] == kNewline) {
    std::memcpy(s.above, s.line, sizeof s.line);
    std::memset(s.line, 0, sizeof s.line);
    s.above_length = s.position;
    s.rhyme_above = s.rhyme;
    s.rhyme = s.letter;
    s.position = s.start = 0;
  } else {
    if (s.position < kLine) s.line[s.position] = token;
    ++s.position;
    if (s.position <= 4) s.start = mix(s.start, token);
  }
}

inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Orders 1, 2, 3, 4, 5, 6, 8, 11 come first after order 0: kinds 1 .. kOrders.
constexpr int kOrders = 8;

inline void contexts(const State& s, uint32_t* out) {
  const uint32_t* t = s.history;
  uint32_t h = 0, n = 0;
  int k = 0;
  out[k++] = 0;
  for (uint32_t order : {1u, 2u, 3u, 4u, 5u, 6u, 8u, 11u}) {
    while (n < order) h = mix(h, t[n++]);
    out[k++] = h;
  }
  const uint32_t word = mix(s.word, t[0]);
  out[k++] = word;                                                  // 9
  out[k++] = mix(word, s.before);                                   // 10
  out[k++] = mix(mix(word, s.before), s.earlier);                   // 11
  out[k++] = mix(word, s.earlier);                                  // 12
  out[k++] = mix(t[1], t[2]);                                       // 13
  out[k++] = mix(mix(t[1], t[2]), t[3]);                            // 14
  out[k++] = mix(least(s.position, 63), t[0]);                      // 15
  out[k++] = mix(s.start, word);                                    // 16
  const uint32_t place = s.position;
  const uint32_t over = place < kLine ? s.above[place] : 0, next = place + 1 < kLine ? s.above[place + 1] : 0;
  out[k++] = mix(mix(over, next), t[0]);                            // 17
  const uint32_t left = least(s.above_length + 8 - least(place, s.above_length + 8), 24);
  out[k++] = mix(mix(left, s.rhyme), t[0]);                         // 18
  out[k++] = mix(mix(left, s.rhyme_above), s.rhyme);                // 19
  for (int i = 0; i < kKinds; ++i) out[i] = mix(out[i], 0x10000u * (i + 1));
}

}  // namespace ostinato::mixing
