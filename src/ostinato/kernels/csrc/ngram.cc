// Probabilities of a sequence of tokens under an n-gram model: a trie of sorted arrays (ostinato/ngram/model.py).
#include "api.h"

#include <algorithm>
#include <vector>

namespace {

constexpr int64_t kUnseen = -1, kBeyond = -2;  // as in ngram/model.py
constexpr int64_t kBlock = 512;  // tokens a level at a time: their searches do not wait for each other

// Starts fetching memory that a later token of the block will need; the levels of a real model exceed the caches.
inline void prefetch(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

// The first place in words[low, end) that is not below `word`. No branch depends on the data.
template <typename Word>
inline uint32_t lower_bound(const Word* words, uint32_t low, uint32_t end, uint32_t word) {
  uint32_t size = end - low;
  while (size > 1) {
    const uint32_t half = size >> 1;
    low = words[low + half - 1] < word ? low + half : low;
    size -= half;
  }
  return size && words[low] < word ? low + 1 : low;
}

template <typename Word>
void probabilities(int32_t order, const Word* const* words, const uint32_t* const* children, const double* const* shares,
                   const double* const* weights, const double* unigram, double uniform, bool restart, const uint32_t* ids,
                   int64_t length, double* result) {
  // contexts[n]: the node of the n+1 tokens before the first token of the block
  std::vector<int64_t> carried(order, kBeyond);
  carried[0] = 0;
  int64_t contexts[kBlock + 1];
  for (int64_t start = 0; start < length; start += kBlock) {
    const int64_t size = std::min(kBlock, length - start);
    const uint32_t* tokens = ids + start;
    double* p = result + start;
    contexts[0] = carried[0];
    for (int64_t t = 0; t < size; ++t) {
      p[t] = unigram[tokens[t]];
      contexts[t + 1] = tokens[t];
    }
    carried[0] = contexts[size];
    for (int32_t n = 1; n < order; ++n) {
      int64_t before = carried[n];  // becomes the next level's context of token t
      for (int64_t t = 0; t < size; ++t) {
        if (t + 16 < size && contexts[t + 16] >= 0) {
          prefetch(children[n - 1] + contexts[t + 16]);
          prefetch(weights[n] + contexts[t + 16]);
        }
        if (t + 8 < size && contexts[t + 8] >= 0) {
          const uint32_t* run = children[n - 1] + contexts[t + 8];
          const uint32_t middle = run[0] + (run[1] - run[0]) / 2;
          prefetch(words[n] + middle);
          prefetch(shares[n] + middle);
        }
        const int64_t context = contexts[t];
        int64_t node = context;
        if (context != kBeyond) {
          if (restart) p[t] = uniform;
          if (context >= 0) {
            const uint32_t low = children[n - 1][context], end = children[n - 1][context + 1];
            const uint32_t place = lower_bound(words[n], low, end, tokens[t]);
            p[t] *= weights[n][context];
            node = kUnseen;
            if (place < end && words[n][place] == tokens[t]) {
              node = place;
              p[t] += shares[n][place];
            }
          }
        }
        contexts[t] = before;
        before = tokens[t] == 0 ? kBeyond : node;  // a context starts afresh after the end of a document
      }
      carried[n] = before;
    }
  }
}

// One more token a row: from `nodes`, (rows, order - 1), to `after`, and out (rows, vocabulary), the probabilities that follow.
template <typename Word>
void step(int32_t order, const Word* const* words, const uint32_t* const* children, const double* const* shares,
          const double* const* weights, const double* unigram, int64_t vocabulary, bool restart, int64_t rows,
          const uint32_t* ids, const int64_t* nodes, int64_t* after, double* out) {
  for (int64_t row = 0; row < rows; ++row, nodes += order - 1, after += order - 1, out += vocabulary) {
    const uint32_t token = ids[row];
    for (int32_t n = 0; n < order - 1; ++n) {
      const int64_t context = n ? nodes[n - 1] : kUnseen;
      after[n] = n == 0 ? token : token == 0 ? kBeyond : context;
      if (context < 0 || token == 0) continue;
      const uint32_t low = children[n - 1][context], end = children[n - 1][context + 1];
      const uint32_t place = lower_bound(words[n], low, end, token);
      after[n] = place < end && words[n][place] == token ? int64_t(place) : kUnseen;
    }
    std::copy(unigram, unigram + vocabulary, out);
    for (int32_t n = 1; n < order && after[n - 1] != kBeyond; ++n) {
      if (restart) std::fill(out, out + vocabulary, 1.0 / double(vocabulary));
      const int64_t node = after[n - 1];
      if (node == kUnseen) continue;
      const double weight = weights[n][node];
      for (int64_t v = 0; v < vocabulary; ++v) out[v] *= weight;
      for (uint32_t i = children[n - 1][node]; i < children[n - 1][node + 1]; ++i) out[words[n][i]] += shares[n][i];
    }
  }
}

}  // namespace

// words, children, shares, weights: `order` pointers each, entry n for order n + 1 as in NgramModel (children: order - 1;
// words[0], shares[0], weights[0] are not read). word_bytes: 2 or 4. ids: (length,), each below the vocabulary's size.
// result: (length,), owned by the caller, aliased with nothing.
OSTINATO_API void ostinato_ngram_probabilities(int32_t order, const void* const* words, int32_t word_bytes,
                                               const uint32_t* const* children, const double* const* shares,
                                               const double* const* weights, const double* unigram, double uniform,
                                               int32_t restart, const uint32_t* ids, int64_t length, double* result) {
  if (word_bytes == 2)
    probabilities(order, reinterpret_cast<const uint16_t* const*>(words), children, shares, weights, unigram, uniform,
                  restart != 0, ids, length, result);
  else
    probabilities(order, reinterpret_cast<const uint32_t* const*>(words), children, shares, weights, unigram, uniform,
                  restart != 0, ids, length, result);
}

// As above; ids (rows,), each below the vocabulary's size; nodes and after (rows, order - 1), nodes of this model; out
// (rows, vocabulary). Nothing is aliased.
OSTINATO_API void ostinato_ngram_step(int32_t order, const void* const* words, int32_t word_bytes,
                                      const uint32_t* const* children, const double* const* shares,
                                      const double* const* weights, const double* unigram, int64_t vocabulary,
                                      int32_t restart, int64_t rows, const uint32_t* ids, const int64_t* nodes,
                                      int64_t* after, double* out) {
  if (word_bytes == 2)
    step(order, reinterpret_cast<const uint16_t* const*>(words), children, shares, weights, unigram, vocabulary,
         restart != 0, rows, ids, nodes, after, out);
  else
    step(order, reinterpret_cast<const uint32_t* const*>(words), children, shares, weights, unigram, vocabulary,
         restart != 0, rows, ids, nodes, after, out);
}
