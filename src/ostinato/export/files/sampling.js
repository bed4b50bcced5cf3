// Randomness that depends on seed, row and position alone, and the chain from logits to a token: as ostinato has both.

const MASK = (1n << 64n) - 1n;

// One step of SplitMix64 (Steele, Lea and Flood, 2014).
function mix(z) {
  z = (z + 0x9e3779b97f4a7c15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

const rowKey = (seed, row) => mix(mix(BigInt(seed)) ^ BigInt(row));
const uniform = (key, position) => Number(mix(key ^ BigInt(position)) >> 11n) * 2 ** -53;

class Sampler {
  constructor({ temperature = 0.8, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, recent = 64 } = {}) {
    Object.assign(this, { temperature, topK, topP, minP, repetitionPenalty });
    this.remembers = repetitionPenalty === 1 ? 0 : recent;
  }

  // Token to draw with the number u of [0, 1). z: logits (float64), -Infinity where forbidden, changed; recent: ids; -1 where
  // no token is allowed.
  draw(z, u, recent = []) {
    const n = z.length;
    if (this.remembers) for (const id of new Set(recent.slice(-this.remembers))) z[id] -= Math.log(this.repetitionPenalty);
    let best = 0;
    for (let i = 1; i < n; ++i) if (z[i] > z[best]) best = i;
    if (z[best] === -Infinity) return -1;
    if (this.temperature === 0) return best;
    const top = z[best] / this.temperature;
    for (let i = 0; i < n; ++i) z[i] = Math.exp(z[i] / this.temperature - top);
    if (this.topK && this.topK < n) keepOnly(z, descending(z, (count) => count >= this.topK).slice(0, this.topK));
    if (this.topP < 1) this.#topP(z);
    if (this.minP > 0) for (let i = 0; i < n; ++i) if (z[i] < this.minP * z[best]) z[i] = 0;
    let total = 0;
    for (let i = 0; i < n; ++i) total += z[i];
    const target = u * total;
    let sum = 0, last = best;
    for (let i = 0; i < n; ++i) {
      if (!z[i]) continue;
      sum += z[i];
      last = i;
      if (sum > target) break;
    }
    return last;
  }

  #topP(w) {
    let total = 0;
    for (const x of w) total += x;
    const enough = this.topP * total, order = descending(w, (count, sum) => sum >= enough);
    let kept = 0;
    for (let sum = 0; kept < order.length && (kept === 0 || sum < enough); ++kept) sum += w[order[kept]];
    keepOnly(w, order.slice(0, kept));
  }
}

// Ids with weights, the largest first and lower ids first among equals: as many as make `enough(count, sum)` true, or all.
function descending(w, enough) {
  for (let bound = 1e-2; ; bound = bound > 1e-12 ? bound * 1e-2 : 0) {
    const found = [];
    let sum = 0;
    for (let i = 0; i < w.length; ++i)
      if (w[i] > bound) {
        found.push(i);
        sum += w[i];
      }
    if (bound === 0 || enough(found.length, sum * (1 - 1e-9))) return found.sort((a, b) => w[b] - w[a] || a - b);
  }
}

function keepOnly(w, ids) {
  const kept = ids.map((id) => w[id]);
  w.fill(0);
  ids.forEach((id, i) => (w[id] = kept[i]));
}

// The `count` likeliest tokens, and what the model gives `id`: probabilities without temperature. `likeliest` is sorted.
function inspect(logits, id, count) {
  let top = -Infinity;
  for (let i = 0; i < logits.length; ++i) if (logits[i] > top) top = logits[i];
  let total = 0;
  const best = [];
  for (let i = 0; i < logits.length; ++i) {
    total += Math.exp(logits[i] - top);
    if (best.length === count && logits[i] <= logits[best[count - 1]]) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]] < logits[i]) --at;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  const share = (i) => Math.exp(logits[i] - top) / total;
  return { bits: -Math.log2(share(id)), likeliest: best.map((i) => [i, share(i)]) };
}
