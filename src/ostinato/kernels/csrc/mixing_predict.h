// From contexts to the probability of a decision at a node. Nothing here changes the model.
#pragma once
#include "mixing_context.h"

namespace ostinato::mixing {

constexpr int kWeightBits = 20;
constexpr uint16_t kBranching = 0x8000;  // in a record: several tokens have followed
constexpr int64_t kAbsent = -1;

inline int32_t clamp_stretch(int64_t value) {
  return value > 2047 ? 2047 : value < -2047 ? -2047 : static_cast<int32_t>(value);
}

inline uint16_t check_of(uint32_t hash) { return static_cast<uint16_t>((hash >> 20) << 4); }

// Starts fetching memory that is needed soon; the tables exceed the caches.
inline void prefetch(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

// Calls f(k) for every bit k that is set, the lowest first.
template <typename F>
inline void each_bit(uint32_t bits, F f) {
  for (int k = 0; bits; ++k, bits >>= 1) {
#if defined(__GNUC__)
    const int zeros = __builtin_ctz(bits);
    k += zeros;
    bits >>= zeros;
#else
    if (!(bits & 1)) continue;
#endif
    f(k);
  }
}

// The record of a context, or kAbsent. A record is (check: 12 bits, count: 4 bits), (branching: 1 bit, token: 15 bits);
// a count of 0 is an empty place.
inline int64_t find_record(const Model& m, uint32_t hash) {
  const uint64_t first = hash * 0x2545F491u;
  for (int i = 0; i < kProbe; ++i) {
    const int64_t at = static_cast<int64_t>((first + i) & m.record_mask);
    const uint16_t head = m.records[2 * at];
    if (head & 15 && (head & 0xFFF0) == check_of(hash)) return at;  // pruned tables have holes
  }
  return kAbsent;
}

inline uint32_t slot_hash(uint32_t context, uint32_t node) { return mix(context, node ^ 0x5bd1e995u); }

inline uint16_t slot_check(uint32_t hash) { return static_cast<uint16_t>((hash >> 16) | 1); }

inline uint64_t slot_place(uint32_t hash) { return hash * 0x2545F491u; }

// The slot of a context's node, or kAbsent. A slot is (check, odd), (p), (n: 8 bits, history: 8 bits).
inline int64_t find_slot(const Model& m, uint32_t hash) {
  const uint64_t first = slot_place(hash);
  for (int i = 0; i < kProbe; ++i) {
    const int64_t at = static_cast<int64_t>((first + i) & m.slot_mask);
    const uint16_t check = m.slots[3 * at];
    if (!check) return kAbsent;
    if (check == slot_check(hash)) return at;
  }
  return kAbsent;
}

// What a context says at a node: p of a 1, and the history (zeros seen: 4 bits, ones seen: 4 bits).
struct Opinion {
  uint16_t p;
  uint8_t history;
};

// All that a decision is mixed from, kept for learning from it.
struct Decision {
  int count;                 // contexts that speak
  uint8_t kinds[kKinds];
  uint8_t histories[kKinds];
  uint16_t said;             // p of the last to speak
  int32_t inputs[kKinds][2];
  int sets[kSets];           // rows of `weights`
  int32_t layer[kSets];      // what each set says, stretched
  int final_set;
  uint16_t set_p[kSets];
  int32_t mixed;             // stretched
  uint16_t mixed_p;
  const uint16_t* apm[2];    // the two entries of each map between which it is interpolated
  int apm_weight;
  uint16_t apm_p[2];
  bool alone;                // nothing but how frequent tokens are speaks: then it is believed as it is
  uint16_t p;                // in the end
};

// What is the same for all nodes of a token.
struct Token {
  uint32_t hashes[kKinds];
  uint32_t certain;          // bits: contexts that only one token has followed
  uint32_t branching;        // bits: contexts with slots
  uint8_t counts[kKinds];    // of the certain ones
  uint16_t tokens[kKinds];
  int64_t records[kKinds];
  int last_rank, place;
  uint32_t last, second;
};

inline void open_token(const Model& m, const State& s, Token& t) {
  contexts(s, t.hashes);
  t.certain = t.branching = 0;
  for (int k = 0; k < kKinds; ++k) prefetch(m.records + 2 * (t.hashes[k] * 0x2545F491u & m.record_mask));
  for (int k = 0; k < kKinds; ++k) {
    const int64_t at = t.records[k] = find_record(m, t.hashes[k]);
    if (at == kAbsent) continue;
    const uint16_t head = m.records[2 * at], tail = m.records[2 * at + 1];
    if (tail & kBranching) {
      t.branching |= 1u << k;
    } else {
      t.certain |= 1u << k;
      t.counts[k] = head & 15;
      t.tokens[k] = tail & 0x7FFF;
    }
  }
  t.last = s.history[0];
  t.second = s.history[1];
  t.last_rank = m.ranks[t.last];
  t.place = 4 * static_cast<int>(least(s.position, 15)) + m.classes[t.last];
}

// The row of `apm_last` at a node.
inline uint32_t apm_row(const Token& t, int32_t node) {
  return mix(mix(t.last, t.second), static_cast<uint32_t>(node)) & (kApmRows - 1);
}

inline void speak(const Model& m, Decision& d, int kind, Opinion o) {
  const int n = d.count++;
  d.kinds[n] = static_cast<uint8_t>(kind);
  d.histories[n] = o.history;
  d.said = o.p;
  d.inputs[n][0] = m.stretch[o.p >> 4];
  d.inputs[n][1] = m.stretch[m.maps[256 * kind + o.history] >> 20];
}

// A context that only one token has followed, `count` times, at a node of that token's path where it takes `bit`.
inline Opinion certain_opinion(const Model& m, int count, int bit) {
  const uint16_t p = m.certain[count];
  return {static_cast<uint16_t>(bit ? p : 65536 - p), static_cast<uint8_t>(bit ? count : count << 4)};
}

// Mixes what the contexts in `d` say at `node`.
inline void decide(const Model& m, const Token& t, int32_t node, Decision& d) {
  d.alone = d.count == 1 && d.kinds[0] == 0;  // most nodes of a large vocabulary
  if (d.alone) {
    d.p = d.said;
    return;
  }
  int matched = 0, sure = 0;
  for (int i = 0; i < d.count; ++i)
    if (d.kinds[i] >= 1 && d.kinds[i] <= kOrders) {
      ++matched;
      sure = !(d.histories[i] & 15) || !(d.histories[i] >> 4);
    }
  d.final_set = 2 * matched + sure;
  d.sets[0] = d.final_set;
  const int group = matched < 8 ? matched >> 1 : 3;
  d.sets[1] = 32 + 4 * (node < 255 ? node : 255) + group;
  d.sets[2] = 32 + 1024 + 4 * t.last_rank + group;
  d.sets[3] = 32 + 1024 + 1024 + 4 * t.place + group;
  int64_t total = 0;
  for (int j = 0; j < kSets; ++j) {
    const int32_t* w = m.weights + d.sets[j] * kInputs;
    int64_t dot = static_cast<int64_t>(w[2 * kKinds]) * 256;
    for (int i = 0; i < d.count; ++i) {
      const int k = d.kinds[i];
      dot += static_cast<int64_t>(w[2 * k]) * d.inputs[i][0] + static_cast<int64_t>(w[2 * k + 1]) * d.inputs[i][1];
    }
    d.layer[j] = clamp_stretch(dot >> kWeightBits);
    d.set_p[j] = m.squash[d.layer[j] + 2048];
    total += static_cast<int64_t>(m.final_weights[d.final_set * kSets + j]) * d.layer[j];
  }
  d.mixed = clamp_stretch(total >> kWeightBits);
  d.mixed_p = m.squash[d.mixed + 2048];
  const int place = (d.mixed + 2048) * (kApmSteps - 1);
  const int low = place >> 12;
  d.apm_weight = place & 4095;
  const uint32_t row = apm_row(t, node);
  d.apm[0] = m.apm + static_cast<int64_t>(node) * kApmSteps + low;
  d.apm[1] = m.apm_last + static_cast<int64_t>(row) * kApmSteps + low;
  for (int j = 0; j < 2; ++j)
    d.apm_p[j] = static_cast<uint16_t>((d.apm[j][0] * (4096 - d.apm_weight) + d.apm[j][1] * d.apm_weight) >> 12);
  const int p = (2 * d.mixed_p + d.apm_p[0] + d.apm_p[1] + 2) >> 2;
  d.p = static_cast<uint16_t>(p < 1 ? 1 : p > 65535 ? 65535 : p);
}

}  // namespace ostinato::mixing
