// Several models as one. Parts may say their `probabilities` besides `logits`, so that nobody computes them again.

class Mixture {
  constructor(parts) {
    this.parts = parts;
    this.wasm = parts.every((part) => part.wasm !== false);
    this.logits = new Float64Array(parts[0].vocabularySize);
    this.shares = new Float64Array(this.logits.length);
  }

  // Probabilities of a part as {p, total, top, largest}: p / total are the probabilities, largest is the greatest of them,
  // top was subtracted from the logits before exp.
  heard(part) {
    const z = part.logits, p = this.shares;
    let top = -Infinity, total = 0;
    for (let i = 0; i < z.length; ++i) if (z[i] > top) top = z[i];
    if (part.probabilities) return { p: part.probabilities, total: 1, top: 0, largest: Math.exp(top) };
    for (let i = 0; i < z.length; ++i) total += p[i] = Math.exp(z[i] - top);
    return { p, total, top, largest: 1 / total };
  }
}

// p(w) = sum of weights[k] p_k(w).
class LinearMixture extends Mixture {
  constructor(parts, weights) {
    super(parts);
    this.weights = weights;
  }

  initialState() { return this.parts.map((part) => part.initialState()); }
  copy(state) { return state.map((one, k) => this.parts[k].copy(one)); }

  step(id, state, wanted = true) {
    this.parts.forEach((part, k) => part.step(id, state[k], wanted));
    if (!wanted) return;
    const { logits } = this;
    logits.fill(0);
    this.parts.forEach((part, k) => {
      const { p, total } = this.heard(part), weight = this.weights[k];
      for (let i = 0; i < p.length; ++i) logits[i] += (weight * p[i]) / total;
    });
    for (let i = 0; i < logits.length; ++i) logits[i] = Math.log(logits[i]);
  }
}

const LEAST = -30, PLACES = 32; // as in ngram/gated.py

// p(w) = product of p_k(w)^{a_k} / Z, with a_k = sum over i of gate[k][i] f_i: see ngram/gated.py. `logits` lack ln Z.
class GatedMixture extends Mixture {
  constructor(parts, gate, newline) {
    super(parts);
    this.gate = gate;
    this.newline = newline;
    this.said = parts.map(() => new Float64Array(this.logits.length));
  }

  initialState() { return { parts: this.parts.map((part) => part.initialState()), place: 0 }; }
  copy({ parts, place }) { return { parts: parts.map((one, k) => this.parts[k].copy(one)), place }; }

  step(id, state, wanted = true) {
    this.parts.forEach((part, k) => part.step(id, state.parts[k], wanted));
    const ended = id === this.newline || id === END;
    state.place = ended ? 0 : state.place + 1;
    if (!wanted) return;
    const known = this.parts.map((part, k) => this.#listen(part, this.said[k]));
    const features = [1, ...known.map((one) => one.entropy), ...known.map((one) => one.largest), ended ? 1 : 0, Math.min(state.place, PLACES) / PLACES];
    const { logits } = this;
    logits.fill(0);
    this.said.forEach((said, k) => {
      const power = this.gate[k].reduce((sum, weight, i) => sum + weight * features[i], 0);
      for (let i = 0; i < said.length; ++i) logits[i] += power * said[i];
    });
  }

  // What a part said, as logarithms of at least LEAST in `said`.
  #listen(part, said) {
    const { p, total, top, largest } = this.heard(part), z = part.logits, whole = top + Math.log(total);
    let sum = 0;
    for (let i = 0; i < z.length; ++i) {
      const one = z[i] - whole;
      said[i] = one < LEAST ? LEAST : one;
      sum += p[i] * said[i];
    }
    return { entropy: -sum / total / Math.log(Math.max(z.length, 2)), largest };
  }
}
