// Whole matrix products over packed operands, cut into tiles; what becomes of a tile is up to the caller.
//
// A group is kGroup tiles by kWide panels, whose sums lie in the L1 or L2 cache while an engine goes through the depth. The
// order of every sum is fixed by the engine, whatever slice or thread computes it.
//
// The concept of an engine E (train_float.h, train_bfloat.h and train_mmla.h define those that exist). All members are static.
//
//   Element            type of an operand's numbers; sums are always float32
//   Operands           the left operand is m rows in tiles of kRows rows; the right one is panels of 16 (kBlock) columns.
//                      Both run over a common depth k and are packed once, then used by many products.
//   kRows              rows of a whole tile                      kPanels   panels that one register tile spans
//   kTiles             tiles that one register tile spans        kGroup    tiles per group (see `product`)
//   kWide              panels per group                          kKept     bytes of exponentials that a head may keep
//   kUneven            whether the tiles of a time step may differ by one row (else all have the same, the last padded)
//   kRowStep           the rows of a tile of a time step are a multiple of it
//   depth(k)           k as stored, padded to whole steps of the unit
//   stride(k)          elements from one row of a left operand to the next (with tiles of kRows rows: on average)
//   panel(k)           elements of one panel of a right operand
//   left_size(m, k)    elements that a left operand takes, padding included
//   slice_tiles(k), slice_panels(k)   how much of each operand fits into a core's L2 cache for one slice of a team
//   configure(rows), release()        set the thread's tile unit to tiles of `rows` rows, and free it (class Tiles)
//   group(left, tiles, full, rows, right, panels, k, c, apart)
//                      c[row][16 · panels] = left · right for `tiles` tiles, the first `full` of `rows` rows (the others have one
//                      less if kUneven); rows of c lie `apart` floats from each other. The order of each sum depends on the
//                      engine and k alone, never on the slice or the thread.
//   put(left, first, rows, k, column, values)   write 16 columns of one tile into a left operand
//   pack_left, pack_left_transposed, pack_right, pack_right_transposed
//                      pack an operand from float32 rows; row(i) may be null for rows of zeros
//   record_stride(columns), put_record, get_record   what a head keeps, in rows: 16 columns of one row at a time
//   gates_size(rows, gates), put_gates   the record of the gates' gradients of all time steps, for the products after the loop.
//                      With kRightRecords it is a right operand whose columns are the gates, pack_gates makes a left one of it,
//                      and pack_left_columns a left operand of a matrix's columns; without, it is a left operand whose rows are the
//                      time steps, and pack_record_transposed makes one of its columns.
//   put_strip          the head's gradient strip as a left and as a right operand at once
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
// floats per row. Rows of the last tile may reach past the matrix: `use` gets rows cut to `m`. The scratch is double-buffered:
// a group's sums are used only after the next group has been issued into the other half. The tile unit (AMX) stores its
// sums with a long delay, and reading them at once would wait for it; this way the products of one group hide the delay of the other.
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

// The same for a whole matrix, by a team: slices of both operands that stay in a core's L2 cache. The smaller operand is gone
// through again and again, the larger one once.
template <class E, class Use>
void product(Team& team, const typename E::Element* left, int64_t m, const typename E::Element* right, int64_t panels, int64_t k, const Use& use) {
  const int64_t tiles = ceil_div(m, E::kRows), tall = E::slice_tiles(k), wide = E::slice_panels(k);
  const int64_t down = ceil_div(tiles, tall), across = ceil_div(panels, wide);
  const bool by_rows = m >= panels * kBlock;
  team.share(down * across, [&](int64_t slice) {
    const int64_t t = (by_rows ? slice / across : slice % down) * tall, p = (by_rows ? slice % across : slice / down) * wide;
    product<E>(left, m, {t, least(t + tall, tiles)}, right, {p, least(p + wide, panels)}, k, use);
  });
}

}  // namespace
}  // namespace ostinato::train
