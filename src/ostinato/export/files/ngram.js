// N-gram models, p(w | h) = share(h w) + weight(h) p(w | h'), and linear mixtures of models.

const UNSEEN = -1, BEYOND = -2; // nodes of n-grams that the model does not hold, and of contexts longer than the document

class NgramModel {
  // config: order, vocabulary_size, restart. arrays: words, children, share and weight of each order.
  constructor(config, arrays) {
    const { order, vocabulary_size: V } = config, levels = (name, from, to) => [...Array(to - from).keys()].map((n) => arrays(`${name}_${n + from}`));
    this.order = order;
    this.restart = config.restart;
    this.vocabularySize = V;
    this.words = levels("words", 0, order);
    this.children = levels("children", 0, order - 1);
    this.share = levels("share", 0, order);
    this.weight = levels("weight", 0, order);
    this.unigram = Float64Array.from(this.share[0], (share) => share + this.weight[0][0] / V);
    this.probabilities = new Float64Array(V);
    this.logits = new Float64Array(V);
  }

  initialState() { return new Int32Array(this.order - 1).fill(BEYOND); }
  copy(state) { return state.slice(); }

  step(id, state, wanted = true) {
    for (let n = this.order - 2; n > 0; --n) {
      const context = state[n - 1];
      state[n] = id === END ? BEYOND : context < 0 ? context : this.#find(n, context, id);
    }
    if (this.order > 1) state[0] = id;
    if (!wanted) return;
    const p = this.probabilities;
    p.set(this.unigram);
    for (let n = 1; n < this.order && state[n - 1] !== BEYOND; ++n) {
      const node = state[n - 1];
      if (this.restart) p.fill(1 / this.vocabularySize);
      if (node === UNSEEN) continue;
      const weight = this.weight[n][node], words = this.words[n], share = this.share[n], end = this.children[n - 1][node + 1];
      for (let i = 0; i < p.length; ++i) p[i] *= weight;
      for (let at = this.children[n - 1][node]; at < end; ++at) p[words[at]] += share[at];
    }
    for (let i = 0; i < p.length; ++i) this.logits[i] = Math.log(p[i]);
  }

  #find(n, context, id) {
    const words = this.words[n], end = this.children[n - 1][context + 1];
    let low = this.children[n - 1][context], high = end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (words[middle] < id) low = middle + 1;
      else high = middle;
    }
    return low < end && words[low] === id ? low : UNSEEN;
  }
}

class MixtureModel {
  constructor(parts, weights) {
    this.parts = parts;
    this.weights = weights;
    this.wasm = parts.every((part) => part.wasm !== false);
    this.logits = new Float64Array(parts[0].vocabularySize);
  }

  initialState() { return this.parts.map((part) => part.initialState()); }
  copy(state) { return state.map((one, k) => this.parts[k].copy(one)); }

  step(id, state, wanted = true) {
    this.parts.forEach((part, k) => part.step(id, state[k], wanted));
    if (!wanted) return;
    this.logits.fill(0);
    this.parts.forEach((part, k) => {
      const z = part.logits;
      let top = -Infinity, total = 0;
      for (let i = 0; i < z.length; ++i) if (z[i] > top) top = z[i];
      for (let i = 0; i < z.length; ++i) total += Math.exp(z[i] - top);
      for (let i = 0; i < z.length; ++i) this.logits[i] += (this.weights[k] * Math.exp(z[i] - top)) / total;
    });
    for (let i = 0; i < this.logits.length; ++i) this.logits[i] = Math.log(this.logits[i]);
  }
}
