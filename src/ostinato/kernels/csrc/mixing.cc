// Reading, learning and the whole distribution of the context-mixing model (mixing.h).
#include <algorithm>
#include <cstring>
#include <vector>

#include "api.h"
#include "mixing_predict.h"

namespace ostinato::mixing {
namespace {

// How fast the model learns: set by the caller for each stretch of text.
struct Rates {
  int32_t weights;   // of the mixers, in 2^-24; 0: mixers, maps and final probabilities stay
  bool counters;     // whether counters learn
  int32_t limit;     // most a counter believes to have seen
  int32_t maps;      // the same of the maps, below 1024
};

inline void learn_map(const Model& m, uint32_t& entry, int bit, int limit) {
  const int n = entry & 1023;
  const int64_t p = entry >> 10, target = bit ? (1 << 22) - 1 : 0;
  const int64_t moved = p + (((target - p) * m.rates[std::min(n, 255)]) >> 16);
  entry = static_cast<uint32_t>(moved << 10) | static_cast<uint32_t>(n < limit ? n + 1 : n);
}

// The history after one more decision: the other side's count shrinks, so that what is recent weighs more.
inline uint8_t next_history(uint8_t history, int bit) {
  int zeros = history >> 4, ones = history & 15;
  int& same = bit ? ones : zeros;
  int& other = bit ? zeros : ones;
  if (same < 15) ++same;
  if (other > 2) other = 1 + (other >> 2);
  return static_cast<uint8_t>(zeros << 4 | ones);
}

inline void learn_slot(const Model& m, int64_t at, int bit, int limit) {
  uint16_t* slot = m.slots + 3 * at;
  const int n = slot[2] >> 8, p = slot[1];
  const int moved = p + static_cast<int>((static_cast<int64_t>((bit ? 65535 : 0) - p) * m.rates[n]) >> 16);
  slot[1] = static_cast<uint16_t>(std::min(std::max(moved, 16), 65520));
  slot[2] = static_cast<uint16_t>((n < limit ? n + 1 : n) << 8 | next_history(slot[2] & 255, bit));
}

// The slot of `hash`, or a place for it (the least seen of its places, emptied).
int64_t make_slot(const Model& m, uint32_t hash) {
  const uint64_t first = slot_place(hash);
  int64_t least = kAbsent;
  int fewest = 256;
  for (int i = 0; i < kProbe; ++i) {
    const int64_t at = static_cast<int64_t>((first + i) & m.slot_mask);
    const uint16_t* slot = m.slots + 3 * at;
    if (slot[0] == slot_check(hash)) return at;
    const int seen = slot[0] ? slot[2] >> 8 : -1;
    if (seen < fewest) fewest = seen, least = at;
    if (!slot[0]) break;
  }
  uint16_t* slot = m.slots + 3 * least;
  slot[0] = slot_check(hash), slot[1] = 32768, slot[2] = 0;
  return least;
}

int64_t make_record(const Model& m, uint32_t hash) {
  const uint64_t first = hash * 0x2545F491u;
  int64_t least = kAbsent;
  int fewest = 1 << 20;
  for (int i = 0; i < kProbe; ++i) {
    const int64_t at = static_cast<int64_t>((first + i) & m.record_mask);
    const uint16_t head = m.records[2 * at], tail = m.records[2 * at + 1];
    const int seen = (head & 15) + (tail & kBranching ? 256 : 0);
    if (seen < fewest) fewest = seen, least = at;
    if (!(head & 15)) break;
  }
  return least;
}

// A weight moves; one that is as large as an int can be wraps around.
inline void move(int32_t& weight, int64_t by) {
  weight = static_cast<int32_t>(static_cast<uint32_t>(weight) + static_cast<uint32_t>(by));
}

// Both layers and the maps move towards `bit`.
void learn_decision(const Model& m, const Decision& d, int bit, const Rates& r) {
  if (d.alone) return;
  const int target = bit << 16;
  for (int j = 0; j < kSets; ++j) {
    int32_t* w = m.weights + d.sets[j] * kInputs;
    const int64_t error = static_cast<int64_t>(target - d.set_p[j]) * r.weights;
    for (int i = 0; i < d.count; ++i) {
      const int k = d.kinds[i];
      move(w[2 * k], (error * d.inputs[i][0]) >> 20);
      move(w[2 * k + 1], (error * d.inputs[i][1]) >> 20);
    }
    move(w[2 * kKinds], (error * 256) >> 20);
  }
  int32_t* w = m.final_weights + d.final_set * kSets;
  const int64_t error = static_cast<int64_t>(target - d.mixed_p) * r.weights;
  for (int j = 0; j < kSets; ++j) move(w[j], (error * d.layer[j]) >> 22);
  for (int i = 0; i < d.count; ++i) learn_map(m, m.maps[256 * d.kinds[i] + d.histories[i]], bit, r.maps);
  for (int j = 0; j < 2; ++j) {
    uint16_t* entry = const_cast<uint16_t*>(d.apm[j]) + (d.apm_weight >> 11);
    *entry = static_cast<uint16_t>(*entry + (((bit ? 65535 : 0) - *entry) >> 7));
  }
}

// What the contexts in `active` with slots, and the certain ones whose token's path is here, say. Removes from `active`
// those without a slot.
inline void listen(const Model& m, const Token& t, int32_t node, uint32_t& active, int64_t* slots, uint32_t certain,
                   uint32_t bits, Decision& d) {
  d.count = 0;
  uint32_t hashes[kKinds];
  each_bit(active, [&](int k) {
    hashes[k] = slot_hash(t.hashes[k], node);
    prefetch(m.slots + 3 * (slot_place(hashes[k]) & m.slot_mask));
  });
  each_bit(active | certain, [&](int k) {
    if (!(active >> k & 1)) {
      speak(m, d, k, certain_opinion(m, t.counts[k], bits >> k & 1));
    } else if ((slots[k] = find_slot(m, hashes[k])) == kAbsent) {
      active &= ~(1u << k);
    } else {
      const uint16_t* slot = m.slots + 3 * slots[k];
      speak(m, d, k, {slot[1], static_cast<uint8_t>(slot[2] & 255)});
    }
  });
}

struct Path {
  const int32_t* nodes;
  const uint8_t* bits;
  int length;
};

inline Path path_of(const Model& m, uint32_t token) {
  const int32_t first = m.path_starts[token];
  return {m.path_nodes + first, m.path_bits + first, m.path_starts[token + 1] - first};
}

// ln p of `token` after `s`; learns from it where `r` is given.
double read_token(const Model& m, const State& s, uint32_t token, const Rates* r) {
  Token t;
  open_token(m, s, t);
  const Path path = path_of(m, token);
  uint32_t active = t.branching, certain = t.certain;
  double total = 0;
  for (int depth = 0; depth < path.length; ++depth) {
    const int32_t node = path.nodes[depth];
    const int bit = path.bits[depth];
    uint32_t bits = 0;  // of the certain contexts: their tokens' paths have led here, so they decide here as well
    each_bit(certain, [&](int k) { bits |= static_cast<uint32_t>(path_of(m, t.tokens[k]).bits[depth]) << k; });
    int64_t slots[kKinds];
    Decision d;
    listen(m, t, node, active, slots, certain, bits, d);
    decide(m, t, node, d);
    total += m.logarithms[bit ? d.p : 65536 - d.p];
    if (r && r->weights) learn_decision(m, d, bit, *r);
    if (r && r->counters)
      for (int k = 0; k < kKinds; ++k)
        if (t.branching >> k & 1) {
          const bool known = active >> k & 1;
          learn_slot(m, known ? slots[k] : make_slot(m, slot_hash(t.hashes[k], node)), bit, r->limit);
        }
    certain &= bit ? bits : ~bits;
  }
  return total;
}

// Counters alone learn that `token` came after `s`.
void count_token(const Model& m, const State& s, uint32_t token, const Rates& r) {
  Token t;
  open_token(m, s, t);
  const Path path = path_of(m, token);
  for (int depth = 0; depth < path.length; ++depth) {
    uint32_t hashes[kKinds];
    each_bit(t.branching, [&](int k) {
      hashes[k] = slot_hash(t.hashes[k], path.nodes[depth]);
      prefetch(m.slots + 3 * (slot_place(hashes[k]) & m.slot_mask));
    });
    each_bit(t.branching, [&](int k) { learn_slot(m, make_slot(m, hashes[k]), path.bits[depth], r.limit); });
  }
}

// The contexts' records after `token`. One that a second token follows gets slots for both.
void learn_records(const Model& m, const State& s, uint32_t token, const Rates& r) {
  uint32_t hashes[kKinds];
  contexts(s, hashes);
  for (int k = 0; k < kKinds; ++k) {
    int64_t at = find_record(m, hashes[k]);
    if (at == kAbsent) {
      at = make_record(m, hashes[k]);
      m.records[2 * at] = check_of(hashes[k]) | 1;
      m.records[2 * at + 1] = static_cast<uint16_t>(token);
      continue;
    }
    uint16_t &head = m.records[2 * at], &tail = m.records[2 * at + 1];
    const int count = head & 15;
    if (tail & kBranching) continue;
    if (tail == token) {
      if (count < 15) ++head;
      continue;
    }
    const Path before = path_of(m, tail), now = path_of(m, token);
    for (int depth = 0; depth < before.length; ++depth) {
      uint16_t* slot = m.slots + 3 * make_slot(m, slot_hash(hashes[k], before.nodes[depth]));
      const Opinion o = certain_opinion(m, count, before.bits[depth]);
      slot[1] = o.p;
      slot[2] = static_cast<uint16_t>(count << 8 | o.history);
    }
    for (int depth = 0; depth < now.length; ++depth)
      learn_slot(m, make_slot(m, slot_hash(hashes[k], now.nodes[depth])), now.bits[depth], r.limit);
    tail |= kBranching;
  }
}

constexpr int64_t kAhead = 4;  // nodes whose memory is fetched before they are decided: most parents are further up

// What the frequencies of tokens alone say at each node, (V-1,): p of a 1, or 0 where they say nothing.
void frequencies(const Model& m, uint16_t* out) {
  const State nothing{};
  uint32_t hashes[kKinds];
  contexts(nothing, hashes);  // the first has no context
  for (int64_t node = 0; node < m.vocabulary - 1; ++node) {
    const int64_t at = find_slot(m, slot_hash(hashes[0], static_cast<uint32_t>(node)));
    out[node] = at == kAbsent ? 0 : m.slots[3 * at + 1];
  }
}

// ln p of every token after `s`, by one walk over the tree. frequent: from `frequencies`, or null: nodes at which nothing
// else speaks are then as quickly done.
void distribution(const Model& m, const State& s, const uint16_t* frequent, double* out) {
  const int64_t nodes = m.vocabulary - 1;
  Token t;
  open_token(m, s, t);
  std::vector<uint32_t> masks(nodes, 0), sure(nodes, 0);
  std::vector<double> sums(nodes);
  std::vector<uint32_t> directions(nodes, 0);
  for (int k = 0; k < kKinds; ++k)
    if (t.certain >> k & 1) {
      const Path path = path_of(m, t.tokens[k]);
      for (int depth = 0; depth < path.length; ++depth) {
        sure[path.nodes[depth]] |= 1u << k;
        directions[path.nodes[depth]] |= static_cast<uint32_t>(path.bits[depth]) << k;
      }
    }
  masks[0] = t.branching;
  sums[0] = 0;
  int64_t slots[kKinds];
  const auto only_frequent = [&](int64_t node) {
    return masks[node] == 1 && !sure[node] && frequent && frequent[node];
  };
  const auto fetch = [&](int64_t node) {
    if (only_frequent(node)) return;
    each_bit(masks[node], [&](int k) {
      prefetch(m.slots + 3 * (slot_place(slot_hash(t.hashes[k], static_cast<uint32_t>(node))) & m.slot_mask));
    });
    const uint16_t* steps = m.apm_last + static_cast<int64_t>(apm_row(t, static_cast<int32_t>(node))) * kApmSteps;
    prefetch(steps);
    prefetch(steps + kApmSteps - 1);
  };
  for (int64_t node = 0; node < nodes; ++node) {
    Decision d;
    if (node + kAhead < nodes) fetch(node + kAhead);
    if (only_frequent(node)) {
      d.p = frequent[node];
    } else {
      listen(m, t, static_cast<int32_t>(node), masks[node], slots, sure[node], directions[node], d);
      decide(m, t, static_cast<int32_t>(node), d);
    }
    for (int bit = 0; bit < 2; ++bit) {
      const double sum = sums[node] + m.logarithms[bit ? d.p : 65536 - d.p];
      const int32_t child = m.children[2 * node + bit];
      if (child < 0) {
        out[-1 - child] = sum;
      } else {
        sums[child] = sum;
        masks[child] = masks[node];
      }
    }
  }
}

}  // namespace
}  // namespace ostinato::mixing

using ostinato::mixing::Model;
using ostinato::mixing::Rates;
using ostinato::mixing::State;

// The states after one more token each: states (rows, sizeof(State)), changed in place.
OSTINATO_API void ostinato_mixing_advance(const Model* model, int64_t rows, const uint32_t* ids, State* states) {
  for (int64_t row = 0; row < rows; ++row) ostinato::mixing::advance(*model, states[row], ids[row]);
}

// What the frequencies of tokens alone say at each node of the tree: out (V-1,), 0 where they say nothing.
OSTINATO_API void ostinato_mixing_frequencies(const Model* model, uint16_t* out) {
  ostinato::mixing::frequencies(*model, out);
}

// ln p of every token after each state: out (rows, V). frequent: from ostinato_mixing_frequencies, of the model as it is.
OSTINATO_API void ostinato_mixing_distribution(const Model* model, int64_t rows, const State* states,
                                               const uint16_t* frequent, double* out) {
  for (int64_t row = 0; row < rows; ++row)
    ostinato::mixing::distribution(*model, states[row], frequent, out + row * model->vocabulary);
}

// ln p of each of `length` tokens after `state`, which is moved on: out (length,), or null where nothing is predicted.
// rates: (length,) of the mixers, which then learn from each token once it was predicted, or null. counters: whether the
// counters learn too.
OSTINATO_API void ostinato_mixing_read(const Model* model, int64_t length, const uint32_t* ids, const int32_t* rates,
                                       int32_t counters, int32_t limit, int32_t map_limit, State* state, double* out) {
  for (int64_t i = 0; i < length; ++i) {
    const Rates r{rates ? rates[i] : 0, counters != 0, limit, map_limit};
    if (out)
      out[i] = ostinato::mixing::read_token(*model, *state, ids[i], &r);
    else
      ostinato::mixing::count_token(*model, *state, ids[i], r);
    if (counters) ostinato::mixing::learn_records(*model, *state, ids[i], r);
    ostinato::mixing::advance(*model, *state, ids[i]);
  }
}

OSTINATO_API int64_t ostinato_mixing_state_bytes() { return sizeof(State); }
