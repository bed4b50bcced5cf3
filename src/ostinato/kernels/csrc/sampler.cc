#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ostinato {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

struct Penalised {
  uint32_t id;
  double z;
};

// The shifted tokens with their logits, and the recent ones with theirs less log(penalty), each token once. They are taken out
// of `logits`.
std::vector<Penalised> take_out(const Sampling& s, float* logits, const uint32_t* recent, int64_t recents,
                                const std::vector<Shift>& shifts) {
  std::vector<Penalised> out;
  for (const Shift& shift : shifts) {
    double z = double(logits[shift.id]) + shift.bias;
    if (shift.times > 0) z -= s.presence + s.frequency * double(shift.times);
    out.push_back({shift.id, z});
  }
  std::vector<uint32_t> ids(recent, recent + (s.remembers > 0 ? std::min(recents, s.remembers) : 0));
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (uint32_t id : ids) {
    const auto end = out.begin() + int64_t(shifts.size());
    const auto at = std::lower_bound(out.begin(), end, id, [](const Penalised& p, uint32_t other) { return p.id < other; });
    if (at != end && at->id == id) at->z -= s.log_penalty;
    else out.push_back({id, double(logits[id]) - s.log_penalty});
  }
  for (const Penalised& p : out) logits[p.id] = kForbidden;
  return out;
}

// The k largest weights, lower ids first among equals; 0 for the rest.
void top_k(double* w, int64_t n, int64_t k) {
  if (k >= n) return;
  std::vector<double> sorted(w, w + n);
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<double>());
  const double bound = sorted[size_t(k - 1)];
  int64_t room = k - std::count_if(w, w + n, [bound](double x) { return x > bound; });
  for (int64_t i = 0; i < n; ++i) {
    if (w[i] > bound) continue;
    if (w[i] == bound && room > 0) --room;
    else w[i] = 0;
  }
}

// The largest weights up to and including the one at which their sum reaches p times the total; 0 for the rest.
void top_p(double* w, int64_t n, double p) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += w[i];
  const double enough = p * total;
  std::vector<uint32_t> order;
  for (int64_t i = 0; i < n; ++i)
    if (w[i] > 0) order.push_back(uint32_t(i));
  auto before = [w](uint32_t a, uint32_t b) { return w[a] != w[b] ? w[a] > w[b] : a < b; };
  // Few tokens hold most of the weight: the rest need not be sorted.
  double sum = 0;
  size_t kept = 0, sorted = 0;
  while (kept < order.size() && (kept == 0 || sum < enough)) {
    if (kept == sorted) {
      const size_t end = std::min(order.size(), std::max<size_t>(64, 4 * sorted));
      if (end < order.size()) std::nth_element(order.begin() + int64_t(sorted), order.begin() + int64_t(end), order.end(), before);
      std::sort(order.begin() + int64_t(sorted), order.begin() + int64_t(end), before);
      sorted = end;
    }
    sum += w[order[kept++]];
  }
  for (size_t i = kept; i < order.size(); ++i) w[order[i]] = 0;
}

void min_p(double* w, int64_t n, double share) {
  const double bound = share * *std::max_element(w, w + n);
  for (int64_t i = 0; i < n; ++i)
    if (w[i] < bound) w[i] = 0;
}

// The first id whose cumulative weight exceeds u times the total. Whole blocks are summed first: the same numbers in another
// order, which can matter only where u hits a boundary to its last bits.
uint32_t choose(const DecodeTable& table, const double* w, int64_t n, double u) {
  constexpr int64_t kBlock = 128;
  std::vector<double> sums;
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) sums.push_back(total += table.sum(w + i, std::min(kBlock, n - i)));
  const double target = u * total;
  size_t block = size_t(std::upper_bound(sums.begin(), sums.end(), target) - sums.begin());
  block = std::min(block, sums.size() - 1);
  double sum = block > 0 ? sums[block - 1] : 0;
  int64_t last = -1;
  for (int64_t i = int64_t(block) * kBlock; i < std::min(n, int64_t(block + 1) * kBlock); ++i) {
    if (w[i] == 0) continue;
    sum += w[i];
    last = i;
    if (sum > target) break;
  }
  return uint32_t(last);
}

}  // namespace

Status draw(const DecodeTable& table, const Sampling& s, int64_t n, float* logits, double* w, const uint32_t* recent,
            int64_t recents, const std::vector<Shift>& shifts, double u, uint32_t* id) {
  const std::vector<Penalised> penalised = take_out(s, logits, recent, recents, shifts);
  double top = table.largest(logits, n);
  for (const Penalised& p : penalised) top = std::isnan(p.z) || p.z > top ? p.z : top;
  if (top == kForbidden) return kNothingAllowed;
  if (!std::isfinite(top)) return kBadScores;
  if (s.temperature == 0) {
    uint32_t best = uint32_t(n);
    for (const Penalised& p : penalised)
      if (p.z == top) best = std::min(best, p.id);
    for (int64_t i = 0; i < n && i < int64_t(best); ++i)
      if (double(logits[i]) == top) best = uint32_t(i);
    *id = best;
    return kFine;
  }
  top /= s.temperature;
  if (!std::isfinite(top)) return kBadScores;
  table.weights(logits, n, s.temperature, top, w);
  for (const Penalised& p : penalised) w[p.id] = std::exp(p.z / s.temperature - top);
  if (s.top_k > 0) top_k(w, n, s.top_k);
  if (s.top_p < 1) top_p(w, n, s.top_p);
  if (s.min_p > 0) min_p(w, n, s.min_p);
  *id = choose(table, w, n, u);
  return kFine;
}

}  // namespace ostinato
