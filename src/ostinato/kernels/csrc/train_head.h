// Mean cross-entropy of a linear layer's softmax, with its gradients, on any engine of matrix products. N x V logits are
// not stored: for one strip of the vocabulary after the other, the strip's logits are computed in the cache, for the sum
// of exponentials of every row; then strip after strip again for the gradients. In between the exponentials are kept
// where all of them take no more than E::kKept bytes; where they would take more, logits are computed twice. Products are
// transposed, vocabulary x rows, so that vectors run along the rows and nothing is summed across a vector.
#pragma once
#include <math.h>

#include "train_product.h"
#include "train_vector.h"

namespace ostinato::train {
namespace {

template <class E>
struct Head {
  using Element = typename E::Element;
  static constexpr int64_t kGroup = E::kTiles * E::kRows;  // vocabulary of a tile
  static constexpr int64_t kStrip = kGroup * 8;            // vocabulary handled at once

  const HeadCall& call;
  const int64_t N, F, vocabulary, panels, width;
  struct Memory {
    Element *x, *x_columns;                            // x as right operand, its features or its rows as depth
    float *top, *target;                         // of each row: log of the sum of exponentials, target's logit
    float *partial_top, *partial_sum, *dx;            // of each thread
    Element* kept;                                    // exponentials, vocabulary x rows, or null
    float* kept_top;                                  // what was subtracted from the logits of each tile's words, of each row
    Element *weight, *weight_columns, *d_left, *d_right;  // of each thread: one strip's operands
    int64_t bytes;
  };

  explicit Head(const HeadCall& given)
      : call(given), N(given.rows), F(given.features), vocabulary(given.vocabulary), panels(ceil_div(N, kBlock)), width(panels * kBlock) {}

  Memory memory(void* start) const {
    Arena arena(start);
    Memory m;
    const int64_t threads = call.threads;
    m.x = arena.take<Element>(panels * E::panel(F));
    m.top = arena.take<float>(width);
    m.target = arena.take<float>(width);
    m.partial_top = arena.take<float>(threads * width);
    m.partial_sum = arena.take<float>(threads * width);
    m.weight = arena.take<Element>(threads * E::left_size(kStrip, F));
    if (call.with_gradient) {
      m.x_columns = arena.take<Element>(ceil_div(F, kBlock) * E::panel(N));
      m.weight_columns = arena.take<Element>(threads * E::left_size(F, kStrip));
      m.d_left = arena.take<Element>(threads * E::left_size(kStrip, N));
      m.d_right = arena.take<Element>(threads * panels * E::panel(kStrip));
      m.dx = arena.take<float>(threads * round_up(F, kGroup) * width);
    }
    const int64_t words = round_up(vocabulary, kStrip), kept = words * E::record_stride(width);
    const bool keeps = call.with_gradient && kept * int64_t(sizeof(Element)) <= E::kKept;
    m.kept = keeps ? arena.take<Element>(kept) : nullptr;
    m.kept_top = keeps ? arena.take<float>(words / kGroup * width) : nullptr;
    m.bytes = arena.used();
    return m;
  }

  static int64_t workspace(const HeadCall& call) { return Head(call).memory(nullptr).bytes; }

  static void compute(const HeadCall& call) {
    const Head head(call);
    const Memory m = head.memory(call.workspace);
    run(call.threads, [&](const Team& team) { head.compute_on(team, m); });
  }

  void compute_on(const Team& team, const Memory& m) const {
    const Range mine = team.share(panels);
    E::pack_right_transposed(m.x, mine, F, [&](int64_t row) { return row < N ? call.x + row * F : nullptr; });
    if (call.with_gradient) E::pack_right(m.x_columns, team.share(ceil_div(F, kBlock)), N, F, [&](int64_t row) { return call.x + row * F; });
    float *tops = m.partial_top + team.rank * width, *sum = m.partial_sum + team.rank * width;
    for (int64_t i = 0; i < width; ++i) tops[i] = -3e38f, sum[i] = 0.0f;
    E::configure(E::kRows);
    team.wait();
    const int64_t strips = ceil_div(vocabulary, kStrip);
    for (int64_t strip = team.rank; strip < strips; strip += team.size) sum_strip(strip * kStrip, m, tops, sum, weights(team, m));
    team.wait();
    finish_sums(team, mine, m);
    team.wait();
    if (call.with_gradient) {
      float* dx = m.dx + team.rank * round_up(F, kGroup) * width;
      memset(dx, 0, size_t(F * width) * sizeof(float));
      memset(m.d_left + team.rank * E::left_size(kStrip, N), 0, size_t(E::left_size(kStrip, N)) * sizeof(Element));  // its padding
      for (int64_t strip = team.rank; strip < strips; strip += team.size) strip_gradients(team, strip * kStrip, m, dx);
      team.wait();
      gather_dx(team, m);
    }
    E::release();
  }

  Element* weights(const Team& team, const Memory& m) const { return m.weight + team.rank * E::left_size(kStrip, F); }

  // use(v, count, panel, wide, c): logits without bias of words v .. v + count and 16·wide rows, 32 floats between words.
  template <class Use>
  void logits(int64_t first, Element* left, const Memory& m, Use use) const {
    const int64_t count = least(kStrip, vocabulary - first), tiles = ceil_div(count, E::kRows);
    E::pack_left(left, {0, tiles}, F, [&](int64_t v) { return first + v < vocabulary ? call.weight + (first + v) * F : nullptr; });
    product<E>(left, count, {0, tiles}, m.x, {0, panels}, F, use);
  }

  void sum_strip(int64_t first, const Memory& m, float* tops, float* sum, Element* left) const {
    logits(first, left, m, [&](int64_t v, int64_t count, int64_t panel, int wide, float* c) {
      for (int at = 0; at < wide * kBlock; at += kWidth) {
        const int64_t row = panel * kBlock + at;
        const V old = load(tops + row);
        V top = old;
        for (int64_t i = 0; i < count; ++i) {
          const V logit = load(c + i * 32 + at) + bias(first + v + i);
          store(c + i * 32 + at, logit);
          top = logit > top ? logit : top;
        }
        store(tops + row, top);
        store(sum + row, load(sum + row) * exp_v(old - top));
      }
      for (int64_t row = panel * kBlock; row < least((panel + wide) * kBlock, N); ++row) {
        const int64_t word = call.targets[row] - first - v;
        if (word >= 0 && word < count) m.target[row] = c[word * 32 + row - panel * kBlock];
      }
      for (int at = 0; at < wide * kBlock; at += kWidth) {
        const int64_t row = panel * kBlock + at;
        const V top = load(tops + row);
        V total = load(sum + row);
        for (int64_t i = 0; i < count; ++i) {
          const V e = exp_v(load(c + i * 32 + at) - top);
          total += e;
          if (m.kept) store(c + i * 32 + at, e);
        }
        store(sum + row, total);
        if (m.kept) store(m.kept_top + (first + v) / kGroup * width + row, top);
      }
      if (m.kept)
        for (int64_t i = 0; i < count; ++i)
          for (int p = 0; p < wide; ++p)
            E::put_record(m.kept, E::record_stride(width), first + v + i, (panel + p) * kBlock, load_block(c + i * 32 + p * kBlock, kBlock));
    });
  }

  // Joins the threads' sums; then `top` holds log sum exp, and losses are known.
  void finish_sums(const Team& team, Range mine, const Memory& m) const {
    for (int64_t row = mine.begin * kBlock; row < least(mine.end * kBlock, N); ++row) {
      float top = m.partial_top[row];
      for (int rank = 1; rank < team.size; ++rank) {
        const float other = m.partial_top[rank * width + row];
        top = other > top ? other : top;
      }
      double total = 0;
      for (int rank = 0; rank < team.size; ++rank) {
        V scale = exp_v(splat(m.partial_top[rank * width + row] - top));
        total += double(m.partial_sum[rank * width + row]) * scale[0];
      }
      const double log_sum = double(top) + log(total);
      m.top[row] = float(log_sum);
      call.losses[row] = float(log_sum - m.target[row]);
    }
    for (int64_t row = most(mine.begin * kBlock, N); row < mine.end * kBlock; ++row) m.top[row] = 0.0f;
  }

  // d = (softmax - one-hot) · scale for one strip, then its shares: dweight = d · x, dbias = sum of d, dx += d^T · weight.
  void strip_gradients(const Team& team, int64_t first, const Memory& m, float* dx) const {
    Element* d_left = m.d_left + team.rank * E::left_size(kStrip, N);
    Element* d_right = m.d_right + team.rank * panels * E::panel(kStrip);
    Element* columns = m.weight_columns + team.rank * E::left_size(F, kStrip);
    const int64_t count = least(kStrip, vocabulary - first), tiles = ceil_div(count, E::kRows);
    alignas(64) float dbias[kStrip][kWidth] = {};
    const float scale = float(call.scale);
    // What a tile's probabilities times `scale` in c become.
    auto use = [&](int64_t v, int64_t words, int64_t panel, int wide, float* c) {
      for (int64_t row = panel * kBlock; row < (panel + wide) * kBlock; ++row) {
        float* column = c + row - panel * kBlock;
        const int64_t word = row < N ? call.targets[row] - first - v : -1;
        if (row >= N)
          for (int64_t i = 0; i < words; ++i) column[i * 32] = 0.0f;
        else if (word >= 0 && word < words)
          column[word * 32] = expm1f(-call.losses[row]) * scale;
      }
      for (int64_t i = 0; i < words; ++i) {
        V total = load(dbias[v + i]);
        for (int at = 0; at < wide * kBlock; at += kWidth) total += load(c + i * 32 + at);
        store(dbias[v + i], total);
      }
      E::put_strip(d_left, d_right, v, words, count, panel, wide, N, c);
    };
    if (m.kept)
      kept_tiles(first, count, m, use);
    else
      logits(first, weights(team, m), m, [&](int64_t v, int64_t words, int64_t panel, int wide, float* c) {
        for (int at = 0; at < wide * kBlock; at += kWidth) {
          const V log_sum = load(m.top + panel * kBlock + at);
          for (int64_t i = 0; i < words; ++i)
            store(c + i * 32 + at, exp_v(load(c + i * 32 + at) + bias(first + v + i) - log_sum) * scale);
        }
        use(v, words, panel, wide, c);
      });
    for (int64_t i = 0; i < count && call.dbias; ++i) {
      float total = 0;
      for (float lane : dbias[i]) total += lane;
      call.dbias[first + i] = total;
    }
    product<E>(d_left, count, {0, tiles}, m.x_columns, {0, ceil_div(F, kBlock)}, N,
               [&](int64_t v, int64_t words, int64_t panel, int wide, float* c) {
                 for (int64_t i = 0; i < words; ++i)
                   for (int p = 0; p < wide; ++p) {
                     const int64_t at = (panel + p) * kBlock;
                     store_block(call.dweight + (first + v + i) * F + at, load_block(c + i * 32 + p * kBlock, kBlock), F - at);
                   }
               });
    E::pack_left_transposed(columns, {0, ceil_div(F, E::kRows)}, call.weight + first * F, F, F, count);
    product<E>(columns, F, {0, ceil_div(F, E::kRows)}, d_right, {0, panels}, count,
               [&](int64_t f, int64_t features, int64_t panel, int wide, float* c) {
                 for (int64_t i = 0; i < features; ++i)
                   for (int at = 0; at < wide * kBlock; at += kWidth) {
                     float* to = dx + (f + i) * width + panel * kBlock + at;
                     store(to, load(to) + load(c + i * 32 + at));
                   }
               });
  }

  // use(v, words, panel, wide, c) for the tiles of a strip: probabilities times `scale` from what was kept of them.
  template <class Use>
  void kept_tiles(int64_t first, int64_t count, const Memory& m, Use use) const {
    alignas(64) float c[kScratch];
    const float scale = float(call.scale);
    for (int64_t panel = 0; panel < panels; panel += E::kPanels) {
      const int wide = int(least(E::kPanels, panels - panel));
      for (int64_t v = 0; v < count; v += kGroup) {
        const int64_t words = least(kGroup, count - v);
        for (int p = 0; p < wide; ++p) {
          const int64_t row = (panel + p) * kBlock;
          Block factor;
          for (int part = 0; part < kBlock / kWidth; ++part) {
            const float* top = m.kept_top + (first + v) / kGroup * width + row + part * kWidth;
            factor.part[part] = exp_v(load(top) - load(m.top + row + part * kWidth)) * scale;
          }
          for (int64_t i = 0; i < words; ++i) {
            Block e = E::get_record(m.kept, E::record_stride(width), first + v + i, row);
            for (int part = 0; part < kBlock / kWidth; ++part) e.part[part] *= factor.part[part];
            memcpy(c + i * 32 + p * kBlock, &e, sizeof e);
          }
        }
        use(v, words, panel, wide, c);
      }
    }
  }

  // The threads' dx, (F, N) each, summed and turned to (N, F).
  void gather_dx(const Team& team, const Memory& m) const {
    const int64_t size = round_up(F, kGroup) * width;
    const Range mine = team.share(panels);
    for (int64_t panel = mine.begin; panel < mine.end; ++panel)
      for (int64_t f = 0; f < F; ++f)
        for (int64_t row = panel * kBlock; row < least((panel + 1) * kBlock, N); ++row) {
          float total = 0;
          for (int rank = 0; rank < team.size; ++rank) total += m.dx[rank * size + f * width + row];
          call.dx[row * F + f] = total;
        }
  }

  float bias(int64_t v) const { return call.bias ? call.bias[v] : 0.0f; }
};

}  // namespace
}  // namespace ostinato::train
