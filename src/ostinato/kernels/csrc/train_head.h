// Mean cross-entropy of a linear layer's softmax, with its gradients, on any engine of matrix products. N x V logits are
// not stored: the vocabulary goes by in waves, first for every row's log-sum-exp, then again for the gradients. In between
// the exponentials are kept where all of them take no more than E::kKept bytes; where they would take more, logits are
// computed twice. Products are transposed, vocabulary x rows, so that vectors run along the rows and nothing is summed
// across a vector. The waves, and the order of all sums, are functions of the sizes alone, not of the threads.
#pragma once
#include <math.h>

#include "train_product.h"
#include "train_turn.h"
#include "train_vector.h"

namespace ostinato::train {
namespace {

template <class E>
struct Head {
  using Element = typename E::Element;
  static constexpr int64_t kGroup = kGroupRows<E>;             // words of a group, which have one sum of exponentials a row
  static constexpr int64_t kTile = E::kTiles * E::kRows;       // words that are turned into operands at once
  static constexpr int64_t kStride = kColumns<E>;              // floats between the words of a group's logits
  static constexpr int64_t kRowPanels = 4 * E::kWide;          // panels of rows that a thread takes at a time
  static constexpr int64_t kWave = 1 << 20;                    // gradients of logits held at once

  const HeadCall& call;
  const int64_t N, F, vocabulary, panels, width, features, wave, groups, shares;
  struct Memory {
    Element *x, *x_columns;                              // x as right operand, its features or its rows as depth
    float *top, *target;                                 // of each row: log of the sum of exponentials, target's logit
    float *group_top, *group_sum;                        // of each group and row: largest logit, sum of exponentials less that
    Element* kept;                                       // exponentials less group_top, vocabulary x rows, or null
    Element *weight, *weight_columns, *d_left, *d_right;  // one wave's operands
    float *dx, *dbias;                                   // (F, rows); of one wave, by share of the rows
    int64_t bytes;
  };

  explicit Head(const HeadCall& given)
      : call(given), N(given.rows), F(given.features), vocabulary(given.vocabulary), panels(ceil_div(N, kBlock)), width(panels * kBlock),
        features(ceil_div(F, kBlock)), wave(least(most(kWave / width / kGroup, 1) * kGroup, round_up(vocabulary, kGroup))),
        groups(ceil_div(vocabulary, kGroup)), shares(ceil_div(panels, kRowPanels)) {}

  Memory memory(void* start) const {
    Arena arena(start);
    Memory m{};
    m.x = arena.take<Element>(panels * E::panel(F));
    m.top = arena.take<float>(width);
    m.target = arena.take<float>(width);
    m.group_top = arena.take<float>(groups * width);
    m.group_sum = arena.take<float>(groups * width);
    m.weight = arena.take<Element>(E::left_size(wave, F));
    if (call.with_gradient) {
      m.x_columns = arena.take<Element>(features * E::panel(N));
      m.weight_columns = arena.take<Element>(E::left_size(F, wave));
      m.d_left = arena.take<Element>(E::left_size(wave, N));
      m.d_right = arena.take<Element>(panels * E::panel(wave));
      m.dx = arena.take<float>(round_up(F, kTile) * width);
      m.dbias = arena.take<float>(shares * wave);
    }
    const int64_t kept = round_up(vocabulary, kGroup) * E::record_stride(width);
    const bool keeps = call.with_gradient && kept * int64_t(sizeof(Element)) <= E::kKept;
    m.kept = keeps ? arena.take<Element>(kept) : nullptr;
    m.bytes = arena.used();
    return m;
  }

  static int64_t workspace(const HeadCall& call) { return Head(call).memory(nullptr).bytes; }

  static void compute(const HeadCall& call) {
    Team team(call.threads);
    const Head head(call);
    head.compute_on(team, head.memory(call.workspace));
  }

  void compute_on(Team& team, const Memory& m) const {
    team.share_ranges(panels, 4, [&](Range some) {
      E::pack_right_transposed(m.x, some, F, [&](int64_t row) { return row < N ? call.x + row * F : nullptr; });
    });
    for (int64_t first = 0; first < vocabulary; first += wave) {
      pack_weight(team, first, m);
      by_groups(team, first, [&](int64_t group, Range rows) { sum_group(group, first, rows, m); });
    }
    team.share_ranges(N, 64, [&](Range rows) { finish_sums(rows, m); });
    for (int64_t row = N; row < width; ++row) m.top[row] = 0.0f;
    if (!call.with_gradient) return;
    team.share_ranges(features, 4, [&](Range some) {
      E::pack_right(m.x_columns, some, N, F, [&](int64_t row) { return call.x + row * F; });
    });
    team.share_ranges(F, 16, [&](Range rows) { memset(m.dx + rows.begin * width, 0, size_t((rows.end - rows.begin) * width) * sizeof(float)); });
    if (E::depth(N) > width)  // padding that is multiplied by zeros, and must be finite
      memset(m.d_left, 0, size_t(E::left_size(wave, N)) * sizeof(Element));
    for (int64_t first = 0; first < vocabulary; first += wave) wave_gradients(team, first, m);
    team.share_ranges(panels, 4, [&](Range some) { turn_dx(some, m); });
  }

  int64_t words(int64_t first) const { return least(wave, vocabulary - first); }

  void pack_weight(Team& team, int64_t first, const Memory& m) const {
    team.share_ranges(round_up(ceil_div(words(first), E::kRows), E::kTiles), 2 * E::kTiles, [&](Range tiles) {
      E::pack_left(m.weight, tiles, F, [&](int64_t v) { return first + v < vocabulary ? call.weight + (first + v) * F : nullptr; });
    });
  }

  // work(group of the vocabulary, panels of rows) for one wave.
  template <class Work>
  void by_groups(Team& team, int64_t first, const Work& work) const {
    team.share(ceil_div(words(first), kGroup) * shares, [&](int64_t i) {
      const int64_t share = i % shares;
      work(first / kGroup + i / shares, Range{share * kRowPanels, least((share + 1) * kRowPanels, panels)});
    });
  }

  // use(count, panel, wide, c): logits without bias of the `count` words of a group and 16·wide rows.
  template <class Use>
  void logits(int64_t group, int64_t first, Range rows, const Memory& m, Use use) const {
    const int64_t at = group * kGroup - first, count = least(kGroup, vocabulary - group * kGroup);
    product<E>(m.weight, at + count, {at / E::kRows, ceil_div(at + count, E::kRows)}, m.x, rows, F,
               [&](int64_t, int64_t, int64_t panel, int wide, float* c) { use(count, panel, wide, c); });
  }

  void sum_group(int64_t group, int64_t first, Range rows, const Memory& m) const {
    const int64_t word_0 = group * kGroup;
    float *tops = m.group_top + group * width, *sums = m.group_sum + group * width;
    logits(group, first, rows, m, [&](int64_t count, int64_t panel, int wide, float* c) {
      for (int at = 0; at < wide * kBlock; at += kWidth) {
        V top = splat(-3e38f);
        for (int64_t i = 0; i < count; ++i) {
          const V logit = load(c + i * kStride + at) + bias(word_0 + i);
          store(c + i * kStride + at, logit);
          top = logit > top ? logit : top;
        }
        store(tops + panel * kBlock + at, top);
      }
      for (int64_t row = panel * kBlock; row < least((panel + wide) * kBlock, N); ++row) {
        const int64_t word = call.targets[row] - word_0;
        if (word >= 0 && word < count) m.target[row] = c[word * kStride + row - panel * kBlock];
      }
      for (int at = 0; at < wide * kBlock; at += kWidth) {
        const V top = load(tops + panel * kBlock + at);
        V total = {};
        for (int64_t i = 0; i < count; ++i) {
          const V e = exp_v(load(c + i * kStride + at) - top);
          total += e;
          if (m.kept) store(c + i * kStride + at, e);
        }
        store(sums + panel * kBlock + at, total);
      }
      if (m.kept)
        for (int64_t i = 0; i < count; ++i)
          for (int p = 0; p < wide; ++p)
            E::put_record(m.kept, E::record_stride(width), word_0 + i, (panel + p) * kBlock, load_block(c + i * kStride + p * kBlock, kBlock));
    });
  }

  // Joins the groups' sums; then `top` holds log sum exp, and losses are known.
  void finish_sums(Range rows, const Memory& m) const {
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      float top = m.group_top[row];
      for (int64_t group = 1; group < groups; ++group) {
        const float other = m.group_top[group * width + row];
        top = other > top ? other : top;
      }
      double total = 0;
      for (int64_t group = 0; group < groups; ++group) {
        const V scale = exp_v(splat(m.group_top[group * width + row] - top));
        total += double(m.group_sum[group * width + row]) * scale[0];
      }
      const double log_sum = double(top) + log(total);
      m.top[row] = float(log_sum);
      call.losses[row] = float(log_sum - m.target[row]);
    }
  }

  // d = (softmax - one-hot) · scale for one wave, then its shares: dweight = d · x, dbias = sum of d, dx += d^T · weight.
  void wave_gradients(Team& team, int64_t first, const Memory& m) const {
    const int64_t count = words(first);
    if (!m.kept && wave < vocabulary) pack_weight(team, first, m);
    by_groups(team, first, [&](int64_t group, Range rows) { group_gradients(group, first, rows, m); });
    for (int64_t v = 0; call.dbias && v < count; ++v) {
      float total = 0;
      for (int64_t share = 0; share < shares; ++share) total += m.dbias[share * wave + v];
      call.dbias[first + v] = total;
    }
    product<E>(team, m.d_left, count, m.x_columns, features, N, [&](int64_t v, int64_t some, int64_t panel, int wide, float* c) {
      for (int64_t i = 0; i < some; ++i)
        for (int p = 0; p < wide; ++p) {
          const int64_t at = (panel + p) * kBlock;
          store_block(call.dweight + (first + v + i) * F + at, load_block(c + i * kStride + p * kBlock, kBlock), F - at);
        }
    });
    team.share_ranges(round_up(ceil_div(F, E::kRows), E::kTiles), 2 * E::kTiles, [&](Range tiles) {
      E::pack_left_transposed(m.weight_columns, tiles, call.weight + first * F, F, F, count);
    });
    product<E>(team, m.weight_columns, F, m.d_right, panels, count, [&](int64_t f, int64_t some, int64_t panel, int wide, float* c) {
      for (int64_t i = 0; i < some; ++i)
        for (int at = 0; at < wide * kBlock; at += kWidth) {
          float* to = m.dx + (f + i) * width + panel * kBlock + at;
          store(to, load(to) + load(c + i * kStride + at));
        }
    });
  }

  // The wave's d of one group and some rows, as operands of both products.
  void group_gradients(int64_t group, int64_t first, Range rows, const Memory& m) const {
    alignas(64) float dbias[kGroup][kWidth] = {};
    const int64_t word_0 = group * kGroup, at_0 = word_0 - first, in_wave = words(first);
    const float scale = float(call.scale);
    // What a group's probabilities times `scale` in c become.
    auto use = [&](int64_t count, int64_t panel, int wide, float* c) {
      for (int64_t row = panel * kBlock; row < (panel + wide) * kBlock; ++row) {
        float* column = c + row - panel * kBlock;
        const int64_t word = row < N ? call.targets[row] - word_0 : -1;
        if (row >= N)
          for (int64_t i = 0; i < count; ++i) column[i * kStride] = 0.0f;
        else if (word >= 0 && word < count)
          column[word * kStride] = expm1f(-call.losses[row]) * scale;
      }
      for (int64_t i = 0; i < count; ++i) {
        V total = load(dbias[i]);
        for (int at = 0; at < wide * kBlock; at += kWidth) total += load(c + i * kStride + at);
        store(dbias[i], total);
      }
      for (int64_t i = 0; i < count; i += kTile)
        E::put_strip(m.d_left, m.d_right, at_0 + i, least(kTile, count - i), in_wave, panel, wide, N, c + i * kStride);
    };
    if (m.kept)
      kept_group(group, rows, m, use);
    else
      logits(group, first, rows, m, [&](int64_t count, int64_t panel, int wide, float* c) {
        for (int at = 0; at < wide * kBlock; at += kWidth) {
          const V log_sum = load(m.top + panel * kBlock + at);
          for (int64_t i = 0; i < count; ++i)
            store(c + i * kStride + at, exp_v(load(c + i * kStride + at) + bias(word_0 + i) - log_sum) * scale);
        }
        use(count, panel, wide, c);
      });
    float* to = m.dbias + rows.begin / kRowPanels * wave + at_0;
    for (int64_t i = 0; i < least(kGroup, vocabulary - word_0); ++i) {
      float total = 0;
      for (float lane : dbias[i]) total += lane;
      to[i] = total;
    }
  }

  // use(count, panel, wide, c) for a group: probabilities times `scale` from what was kept of them.
  template <class Use>
  void kept_group(int64_t group, Range rows, const Memory& m, Use use) const {
    alignas(64) float c[kGroup * kStride];
    const float scale = float(call.scale);
    const int64_t count = least(kGroup, vocabulary - group * kGroup);
    for (int64_t panel = rows.begin; panel < rows.end; panel += E::kWide) {
      const int wide = int(least(E::kWide, rows.end - panel));
      for (int p = 0; p < wide; ++p) {
        const int64_t row = (panel + p) * kBlock;
        Block factor;
        for (int part = 0; part < kBlock / kWidth; ++part) {
          const float* top = m.group_top + group * width + row + part * kWidth;
          factor.part[part] = exp_v(load(top) - load(m.top + row + part * kWidth)) * scale;
        }
        for (int64_t i = 0; i < count; ++i) {
          Block e = E::get_record(m.kept, E::record_stride(width), group * kGroup + i, row);
          for (int part = 0; part < kBlock / kWidth; ++part) e.part[part] *= factor.part[part];
          memcpy(c + i * kStride + p * kBlock, &e, sizeof e);
        }
      }
      use(count, panel, wide, c);
    }
  }

  // dx, (F, rows), turned to (N, F).
  void turn_dx(Range some, const Memory& m) const {
    for (int64_t row = some.begin * kBlock; row < least(some.end * kBlock, N); row += kBlock)
      for (int64_t f = 0; f < F; f += kBlock) {
        float* to[kBlock];
        for (int64_t r = 0; r < kBlock; ++r) to[r] = row + r < N ? call.dx + (row + r) * F + f : nullptr;
        turn(m.dx + f * width + row, width, least(kBlock, F - f), to);
      }
  }

  float bias(int64_t v) const { return call.bias ? call.bias[v] : 0.0f; }
};

}  // namespace
}  // namespace ostinato::train
