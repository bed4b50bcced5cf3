// Whole matrix products over packed operands, cut into tiles; what becomes of a tile is up to the caller.
//
// A group is kGroup tiles by kWide panels, whose sums lie in the L1 or L2 cache while an engine goes through the depth. The
// order of every sum is fixed by the engine, whatever slice or thread computes it.
#pragma once
#include "train_team.h"

namespace ostinato::train {
namespace {

template <class E>
constexpr int64_t kGroupRows = E::kGroup * E::kRows;
template <class E>
constexpr int64_t kColumns = E::kWide * 16;  // floats between the rows of a group's sums

// While it lives, this thread's tile unit, where there is one, is set to tiles of `rows` rows.
template <class E>
class Tiles {
 public:
  explicit Tiles(int64_t rows) { E::configure(int(rows)); }
  ~Tiles() { E::release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// For every group of left[tiles] · right[panels] over depth k, on this thread: use(row, rows, panel, panels, c), c with kColumns
// floats a row. Rows of the last tile may reach past the matrix: `use` gets rows cut to `m`. A group is used while the
// next one is computed: what the tile unit has just stored cannot be read at once.
template <class E, class Use>
void product(const typename E::Element* left, int64_t m, Range tiles, const typename E::Element* right, Range panels, int64_t k, Use use) {
  const Tiles<E> on(E::kRows);
  alignas(64) float scratch[2][kGroupRows<E> * kColumns<E>];
  struct Ready {
    int64_t row, rows, panel;
    int panels;
  } ready{0, 0, 0, 0};
  int turn = 0;
  for (int64_t p = panels.begin; p < panels.end; p += E::kWide) {
    const int wide = int(least(E::kWide, panels.end - p));
    for (int64_t t = tiles.begin; t < tiles.end; t += E::kGroup) {
      const int tall = int(least(E::kGroup, tiles.end - t));
      E::group(left + t * E::kRows * E::stride(k), tall, tall, E::kRows, right + p * E::panel(k), wide, k, scratch[turn], kColumns<E>);
      turn ^= 1;
      if (ready.rows) use(ready.row, ready.rows, ready.panel, ready.panels, scratch[turn]);
      ready = {t * E::kRows, least(tall * E::kRows, m - t * E::kRows), p, wide};
    }
  }
  if (ready.rows) use(ready.row, ready.rows, ready.panel, ready.panels, scratch[turn ^ 1]);
}

// The same for a whole matrix, by a team: slices of both operands that stay in a core's L2 cache.
template <class E, class Use>
void product(Team& team, const typename E::Element* left, int64_t m, const typename E::Element* right, int64_t panels, int64_t k, const Use& use) {
  const int64_t tiles = ceil_div(m, E::kRows), tall = E::slice_tiles(k), wide = E::slice_panels(k);
  const int64_t across = ceil_div(panels, wide);
  team.share(ceil_div(tiles, tall) * across, [&](int64_t slice) {
    const int64_t t = slice / across * tall, p = slice % across * wide;
    product<E>(left, m, {t, least(t + tall, tiles)}, right, {p, least(p + wide, panels)}, k, use);
  });
}

}  // namespace
}  // namespace ostinato::train
