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

struct Drawing {  // as in kernels/native.py
  const double* u;            // (rows, length): the number of each draw
  const uint8_t* forbidden;   // (V): tokens that are never drawn
  const uint8_t* stops;       // (V): tokens that end their row
  uint32_t* recent;           // (rows, remembers + length): ids before the first draw at the end of the first `remembers`
  const int64_t* recents;     // (rows): how many there are
  uint32_t* drawn;            // (rows, length)
  int64_t* counts;            // (rows): how many were drawn
};

Status decode(Model& model, int threads, int64_t rows, int64_t length, const uint32_t* ids, const float* before, float* after,
              const Sampling& sampling, const Drawing& d) {
  const int64_t vocabulary = model.shape().vocabulary;
  if (rows < 1 || rows > kRows || length < 1 || sampling.remembers < 0) return kBadShape;
  if (!model.knows(rows, ids)) return kBadId;
  Session session(threads);
  Borrowed borrowed(model, rows, true);
  if (!borrowed.get()) return kOutOfMemory;
  Workspace& work = *borrowed.get();
  std::vector<uint32_t> forbidden;
  for (int64_t v = 0; v < vocabulary; ++v)
    if (d.forbidden[v]) forbidden.push_back(uint32_t(v));
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
        for (uint32_t v : forbidden) logits[v] = -__builtin_inff();
        const int64_t row = row_of[size_t(b)], size = std::min(sampling.remembers, d.recents[row] + t);
        const uint32_t* end = d.recent + row * (sampling.remembers + length) + sampling.remembers + t;
        statuses[b] = draw(model.table(), sampling, vocabulary, logits, &work.weights[group * vocabulary], end - size, size,
                           d.u[row * length + t], &read[size_t(b)]);
      }
    });
    int64_t kept = 0;
    for (int64_t b = 0; b < count; ++b) {
      if (statuses[b] != kFine) return statuses[b];
      const int64_t row = row_of[size_t(b)];
      const uint32_t id = read[size_t(b)];
      d.drawn[row * length + t] = id;
      d.counts[row] = t + 1;
      d.recent[row * (sampling.remembers + length) + sampling.remembers + t] = id;
      if (d.stops[id] || t + 1 == length) {
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

// Reads ids (rows <= 64), draws, reads what was drawn, and so on, at most `length` times. `after`: each row's state before its
// last drawn token is read.
OSTINATO_API int32_t ostinato_decode(Model* model, int32_t threads, int64_t rows, int64_t length, const uint32_t* ids,
                                     const float* before, float* after, const ostinato::Sampling* sampling,
                                     const ostinato::Drawing* drawing) {
  return ostinato::guarded(
      [&] { return ostinato::decode(*model, threads, rows, length, ids, before, after, *sampling, *drawing); });
}
