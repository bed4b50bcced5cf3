// The exported functions on models. All are safe to call from several threads at once, on one model too, once its weights are
// set. Arrays are dense, in C order, owned by the caller; inputs and outputs may not overlap. Each returns a Status.
#include <algorithm>
#include <cstring>
#include <new>

#include "float_mode.h"
#include "model.h"
#include "sampler.h"

namespace ostinato {
namespace {

// A workspace for one call.
class Borrowed {
 public:
  Borrowed(Model& model, int64_t entries, bool logits) : model_(model), work_(model.borrow(entries, logits)) {}
  ~Borrowed() {
    if (work_) model_.give_back(std::move(work_));
  }
  Workspace* get() const { return work_.get(); }

 private:
  Model& model_;
  std::unique_ptr<Workspace> work_;
};

Status step(Model& model, int threads, int64_t rows, const uint32_t* ids, const float* before, float* after, float* logits) {
  if (!model.knows(rows, ids)) return kBadId;
  Session session(threads);
  Borrowed work(model, std::min(rows, kRows), false);
  if (!work.get()) return kOutOfMemory;
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    for (int64_t b = 0; b < count; ++b) model.load(*work.get(), b, before, rows, first + b);
    model.advance(session, *work.get(), 1, count, ids + first);
    for (int64_t b = 0; b < count; ++b) model.save(*work.get(), b, after, rows, first + b);
    if (logits) model.head(session, *work.get(), count, count, logits + first * model.shape().vocabulary);
  }
  return kFine;
}

Status score(Model& model, int threads, int64_t length, const uint32_t* ids, float* state, float* logits, double* out,
             float* features) {
  constexpr int64_t kLogits = 16;  // steps whose logits are held at once
  const int64_t vocabulary = model.shape().vocabulary;
  if (!model.knows(length, ids)) return kBadId;
  if (length == 0) return kFine;
  Session session(threads);
  Borrowed work(model, kRows, true);
  if (!work.get()) return kOutOfMemory;
  const DecodeTable& table = model.table();
  out[0] = double(logits[ids[0]]) - table.log_sum_exp(logits, vocabulary);
  model.load(*work.get(), 0, state, 1, 0);
  for (int64_t first = 0; first < length; first += kRows) {
    const int64_t steps = std::min(kRows, length - first);
    model.advance(session, *work.get(), steps, 1, ids + first);
    const int64_t hidden = model.shape().hidden;
    for (int64_t t = 0; features && t < steps; ++t)
      std::memcpy(features + (first + t) * hidden, work.get()->hidden.back().row(1 + t), size_t(hidden) * sizeof(float));
    for (int64_t begin = 0; begin < steps; begin += kLogits) {
      const int64_t count = std::min(kLogits, steps - begin), at = first + begin;
      model.head(session, *work.get(), 1 + begin, count, work.get()->logits.data());
      session.share(count, false, [&](int64_t t) {
        const float* row = &work.get()->logits[t * vocabulary];
        if (at + t + 1 < length) out[at + t + 1] = double(row[ids[at + t + 1]]) - table.log_sum_exp(row, vocabulary);
        else std::memcpy(logits, row, size_t(vocabulary) * sizeof(float));
      });
    }
  }
  model.save(*work.get(), 0, state, 1, 0);
  return kFine;
}

// The state of one row after all ids, without any logits.
Status read(Model& model, int threads, int64_t length, const uint32_t* ids, float* state) {
  if (!model.knows(length, ids)) return kBadId;
  if (length == 0) return kFine;
  Session session(threads);
  Borrowed work(model, kRows, false);
  if (!work.get()) return kOutOfMemory;
  model.load(*work.get(), 0, state, 1, 0);
  for (int64_t first = 0; first < length; first += kRows)
    model.advance(session, *work.get(), std::min(kRows, length - first), 1, ids + first);
  model.save(*work.get(), 0, state, 1, 0);
  return kFine;
}

// Texts side by side, each from the same state and logits; `rows` <= kRows, lengths >= 1 in descending order, so that the
// texts that go on are always the first ones.
Status score_rows(Model& model, int threads, int64_t rows, const int64_t* lengths, const uint32_t* const* ids,
                  const float* state, const float* logits, double* const* out) {
  const int64_t vocabulary = model.shape().vocabulary;
  if (rows < 1 || rows > kRows) return kBadShape;
  for (int64_t b = 0; b < rows; ++b) {
    if (lengths[b] < 1 || (b > 0 && lengths[b] > lengths[b - 1])) return kBadShape;
    if (!model.knows(lengths[b], ids[b])) return kBadId;
  }
  Session session(threads);
  Borrowed borrowed(model, rows, true);
  if (!borrowed.get()) return kOutOfMemory;
  Workspace& work = *borrowed.get();
  const DecodeTable& table = model.table();
  const double total = table.log_sum_exp(logits, vocabulary);
  for (int64_t b = 0; b < rows; ++b) {
    out[b][0] = double(logits[ids[b][0]]) - total;
    model.load(work, b, state, 1, 0);
  }
  uint32_t read[kRows];
  int64_t count = rows;
  for (int64_t t = 0;; ++t) {
    while (count > 0 && lengths[count - 1] <= t + 1) --count;  // nothing follows their token t
    if (count == 0) return kFine;
    for (int64_t b = 0; b < count; ++b) read[b] = ids[b][t];
    model.advance(session, work, 1, count, read);
    model.head(session, work, count, count, work.logits.data());
    session.share(count, false, [&](int64_t b) {
      const float* row = &work.logits[b * vocabulary];
      out[b][t + 1] = double(row[ids[b][t + 1]]) - table.log_sum_exp(row, vocabulary);
    });
  }
}

struct Drawing {  // as in kernels/native.py
  int64_t remembers;                // ids before the first draw that `recent` has room for; at least every row's `remembers`
  const Sampling* sampling;         // (rows)
  const double* u;                  // (rows, length): the number of each draw
  const int64_t* lengths;           // (rows): how many are drawn at most, 1 .. length
  const uint8_t* const* forbidden;  // (rows) of (V): tokens that are never drawn; rows may share one
  const uint8_t* const* stops;      // (rows) of (V): tokens that end their row
  uint32_t* recent;                 // (rows, remembers + length): ids before the first draw at the end of the first `remembers`
  const int64_t* recents;           // (rows): how many there are
  uint32_t* drawn;                  // (rows, length)
  int64_t* counts;                  // (rows): how many were drawn
  const int64_t* shifts;            // (rows + 1): where each row's part of the next three begins, and the end
  const uint32_t* shifted;          // a row's tokens with a bias or drawn before, by ascending id, each once
  const double* bias;               // what is added to their logits
  const int64_t* times;             // how often they were drawn before
};

// The shifted tokens of each row, as they are before its next draw.
class Shifts {
 public:
  Shifts(const Drawing& d, int64_t rows) : rows_(size_t(rows)) {
    for (int64_t b = 0; b < rows; ++b)
      for (int64_t i = d.shifts[b]; i < d.shifts[b + 1]; ++i) rows_[size_t(b)].push_back({d.shifted[i], d.bias[i], d.times[i]});
  }
  const std::vector<Shift>& of(int64_t row) const { return rows_[size_t(row)]; }

  void count(int64_t row, uint32_t id) {
    std::vector<Shift>& shifts = rows_[size_t(row)];
    const auto at = std::lower_bound(shifts.begin(), shifts.end(), id, [](const Shift& s, uint32_t other) { return s.id < other; });
    if (at != shifts.end() && at->id == id) ++at->times;
    else shifts.insert(at, {id, 0, 1});
  }

 private:
  std::vector<std::vector<Shift>> rows_;
};

// The tokens that each row may not draw. Rows with the same mask share one list.
class Forbidden {
 public:
  Forbidden(const uint8_t* const* masks, int64_t rows, int64_t vocabulary) {
    std::vector<const uint8_t*> known;
    for (int64_t b = 0; b < rows; ++b) {
      const size_t at = size_t(std::find(known.begin(), known.end(), masks[b]) - known.begin());
      if (at == known.size()) {
        known.push_back(masks[b]);
        lists_.emplace_back();
        for (int64_t v = 0; v < vocabulary; ++v)
          if (masks[b][v]) lists_.back().push_back(uint32_t(v));
      }
      list_of_.push_back(at);
    }
  }
  const std::vector<uint32_t>& of(int64_t row) const { return lists_[list_of_[size_t(row)]]; }

 private:
  std::vector<std::vector<uint32_t>> lists_;
  std::vector<size_t> list_of_;
};

Status decode(Model& model, int threads, int64_t rows, int64_t length, const uint32_t* ids, const float* before, float* after,
              const Drawing& d) {
  const int64_t vocabulary = model.shape().vocabulary;
  if (rows < 1 || rows > kRows || length < 1 || d.remembers < 0) return kBadShape;
  for (int64_t b = 0; b < rows; ++b)
    if (d.lengths[b] < 1 || d.lengths[b] > length || d.sampling[b].remembers < 0 || d.sampling[b].remembers > d.remembers ||
        d.recents[b] < 0 || d.recents[b] > d.remembers)
      return kBadShape;
  if (!model.knows(rows, ids)) return kBadId;
  Session session(threads);
  Borrowed borrowed(model, rows, true);
  if (!borrowed.get()) return kOutOfMemory;
  Workspace& work = *borrowed.get();
  const Forbidden forbidden(d.forbidden, rows, vocabulary);
  Shifts shifts(d, rows);
  std::vector<uint32_t> read(ids, ids + rows);
  std::vector<int64_t> row_of;  // the rows still written, in the order they have in the workspace
  for (int64_t b = 0; b < rows; ++b) {
    model.load(work, b, before, rows, b);
    row_of.push_back(b);
  }
  for (int64_t t = 0; t < length && !row_of.empty(); ++t) {
    const int64_t count = int64_t(row_of.size());
    model.advance(session, work, 1, count, read.data());
    model.head(session, work, count, count, work.logits.data());
    Status statuses[kRows];
    const int64_t groups = std::min<int64_t>(count, session.threads());
    session.share(groups, false, [&](int64_t group) {
      for (int64_t b = group; b < count; b += groups) {
        float* logits = &work.logits[b * vocabulary];
        const int64_t row = row_of[size_t(b)];
        for (uint32_t v : forbidden.of(row)) logits[v] = -__builtin_inff();
        const Sampling& sampling = d.sampling[row];
        const int64_t size = std::min(sampling.remembers, d.recents[row] + t);
        const uint32_t* end = d.recent + row * (d.remembers + length) + d.remembers + t;
        statuses[b] = draw(model.table(), sampling, vocabulary, logits, &work.weights[group * vocabulary], end - size, size,
                           shifts.of(row), d.u[row * length + t], &read[size_t(b)]);
      }
    });
    int64_t kept = 0;
    for (int64_t b = 0; b < count; ++b) {
      if (statuses[b] != kFine) return statuses[b];
      const int64_t row = row_of[size_t(b)];
      const uint32_t id = read[size_t(b)];
      d.drawn[row * length + t] = id;
      d.counts[row] = t + 1;
      d.recent[row * (d.remembers + length) + d.remembers + t] = id;
      if (d.sampling[row].presence != 0 || d.sampling[row].frequency != 0) shifts.count(row, id);
      if (d.stops[row][id] || t + 1 == d.lengths[row]) {
        model.save(work, b, after, rows, row);
        continue;
      }
      if (kept < b) model.move(work, b, kept);
      row_of[size_t(kept)] = row;
      read[size_t(kept++)] = id;
    }
    row_of.resize(size_t(kept));
  }
  return kFine;
}

template <class Work>
int32_t guarded(const Work& work) {
  const FlushDenormals flush;
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
}

}  // namespace
}  // namespace ostinato

using ostinato::Model;

// A model without its weights; null, and a Status, where there is no memory or the shape is none.
OSTINATO_API Model* ostinato_model_new(const ostinato::Shape* shape, int32_t* status) {
  Model* model = nullptr;
  *status = ostinato::guarded([&] {
    if (!Model::valid(*shape)) return ostinato::kBadShape;
    auto fresh = std::make_unique<Model>(*shape);
    if (!fresh->ready()) return ostinato::kOutOfMemory;
    model = fresh.release();
    return ostinato::kFine;
  });
  return model;
}

OSTINATO_API void ostinato_model_free(Model* model) { delete model; }

OSTINATO_API int32_t ostinato_model_set(Model* model, int32_t tensor, int32_t layer, int64_t first, int64_t count,
                                        const float* rows) {
  return model->set(ostinato::Tensor(tensor), layer, first, count, rows);
}

// ids (rows), states (states, rows, hidden), logits (rows, V) or null.
OSTINATO_API int32_t ostinato_step(Model* model, int32_t threads, int64_t rows, const uint32_t* ids, const float* before,
                                   float* after, float* logits) {
  return ostinato::guarded([&] { return ostinato::step(*model, threads, rows, ids, before, after, logits); });
}

// out[t] = log-probability of ids[t] after those before it. state (states, 1, hidden) and logits (V) are those before the
// first id and become those after the last. features (length, hidden), or null: the last layer's h after each id.
OSTINATO_API int32_t ostinato_score(Model* model, int32_t threads, int64_t length, const uint32_t* ids, float* state,
                                    float* logits, double* out, float* features) {
  return ostinato::guarded([&] { return ostinato::score(*model, threads, length, ids, state, logits, out, features); });
}

// `state` (states, 1, hidden) is that before the first id and becomes that after the last.
OSTINATO_API int32_t ostinato_read(Model* model, int32_t threads, int64_t length, const uint32_t* ids, float* state) {
  return ostinato::guarded([&] { return ostinato::read(*model, threads, length, ids, state); });
}

// out[b][t] = log-probability of ids[b][t] in a text of its own, lengths[b] long (rows <= 64, the longest first), that begins
// after `state` (states, 1, hidden) and `logits` (V).
OSTINATO_API int32_t ostinato_score_rows(Model* model, int32_t threads, int64_t rows, const int64_t* lengths,
                                         const uint32_t* const* ids, const float* state, const float* logits,
                                         double* const* out) {
  return ostinato::guarded([&] { return ostinato::score_rows(*model, threads, rows, lengths, ids, state, logits, out); });
}

// Reads ids (rows <= 64), draws, reads what was drawn, and so on, at most `length` times. `after`: each row's state before its
// last drawn token is read.
OSTINATO_API int32_t ostinato_decode(Model* model, int32_t threads, int64_t rows, int64_t length, const uint32_t* ids,
                                     const float* before, float* after, const ostinato::Drawing* drawing) {
  return ostinato::guarded(
      [&] { return ostinato::decode(*model, threads, rows, length, ids, before, after, *drawing); });
}
