// N-gram models, p(w | h) = share(h w) + weight(h) p(w | h'), computed from their counts.

const UNSEEN = -1, BEYOND = -2; // nodes of n-grams that the model does not hold, and of contexts longer than the document

// Whole numbers as export/packing.py writes them.
class Packed {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  next() {
    const { bytes } = this;
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[this.at++];
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
  }

  mostlyOnes(size) {
    const values = new Uint32Array(size), bits = this.at;
    this.at += Math.ceil(size / 8);
    for (let i = 0; i < size; ++i) values[i] = (this.bytes[bits + (i >> 3)] >> (i & 7)) & 1 ? this.next() : 1;
    return values.every((value) => value < 256) ? Uint8Array.from(values) : values;
  }

  // values[starts[i]], ... ascend for every i.
  ascending(starts, values) {
    for (let i = 0; i + 1 < starts.length; ++i)
      for (let at = starts[i], last = 0; at < starts[i + 1]; ++at) values[at] = last += this.next();
    return values;
  }
}

class NgramModel {
  // config: order, vocabulary_size, restart, sizes and, of a model of counts, discounts, mass, takes: share(h w) is
  // (count - discounts[min(count, 3)]) / (total + mass), weight(h) (all discounts, if it `takes` them, + mass) / (total + mass).
  constructor(config, arrays) {
    const { order, vocabulary_size: V, sizes } = config, packed = (name) => new Packed(arrays(name)), Wide = V > 65536 ? Uint32Array : Uint16Array;
    Object.assign(this, { order, config, vocabularySize: V, children: [], counts: [], dropped: [], shares: [], weights: [] });
    this.words = [Wide.from({ length: V }, (_, id) => id)];
    for (let n = 0; n < order; ++n) {
      if (n) {
        const runs = packed(`runs_${n}`).mostlyOnes(sizes[n - 1]), starts = new Uint32Array(runs.length + 1);
        runs.forEach((run, i) => (starts[i + 1] = starts[i] + run));
        this.children.push(starts);
        this.words.push(packed(`words_${n}`).ascending(starts, new Wide(sizes[n])));
      }
      this.counts.push(config.discounts ? packed(`counts_${n}`).mostlyOnes(sizes[n]) : null);
      this.dropped.push(n && config.pruned ? packed(`dropped_${n}`).mostlyOnes(sizes[n - 1]) : null);
      this.shares.push(config.discounts ? null : arrays(`share_${n}`));
      this.weights.push(config.discounts ? null : arrays(`weight_${n}`));
    }
    this.probabilities = new Float64Array(V);
    this.logits = new Float64Array(V);
    this.brought = new Float64Array(V); // what the contexts bring, by word, and the words that they bring something
    this.touched = new Uint32Array(V);
    this.isTouched = new Uint8Array(V);
    this.count = 0;
    const weight = this.#read(0, 0, 0, V);
    this.unigram = this.brought.map((share) => share + weight / V);
    this.uniform = new Float64Array(V).fill(1 / V);
    this.logarithms = new Map([this.unigram, this.uniform].map((p) => [p, p.map(Math.log)]));
    this.#forget();
  }

  initialState() { return new Int32Array(this.order - 1).fill(BEYOND); }
  copy(state) { return state.slice(); }

  // Few words are brought something by their context; all others have what `base` gives them, scaled.
  step(id, state, wanted = true) {
    for (let n = this.order - 2; n > 0; --n) {
      const context = state[n - 1];
      state[n] = id === END ? BEYOND : context < 0 ? context : this.#find(n, context, id);
    }
    if (this.order > 1) state[0] = id;
    if (!wanted) return;
    const { probabilities: p, logits, brought, touched } = this;
    let base = this.unigram, scale = 1;
    for (let n = 1; n < this.order && state[n - 1] !== BEYOND; ++n) {
      const node = state[n - 1];
      if (this.config.restart) {
        [base, scale] = [this.uniform, 1];
        this.#forget();
      }
      if (node !== UNSEEN) scale *= this.#read(n, node, this.children[n - 1][node], this.children[n - 1][node + 1]);
    }
    const logarithms = this.logarithms.get(base), shift = Math.log(scale);
    for (let i = 0; i < p.length; ++i) {
      p[i] = scale * base[i];
      logits[i] = logarithms[i] + shift;
    }
    for (let k = 0; k < this.count; ++k) {
      const word = touched[k];
      p[word] += brought[word];
      logits[word] = Math.log(p[word]);
    }
    this.#forget();
  }

  // Takes in what the context `node` of n tokens brings the words first .. end; returns the weight of the shorter context.
  #read(n, node, first, end) {
    const { brought, touched, isTouched } = this, words = this.words[n], counts = this.counts[n], shares = this.shares[n];
    const taken = counts && this.config.discounts[n], total = counts ? this.#total(n, node, first, end) : 1;
    const weight = counts ? this.weight : this.weights[n][node];
    for (let k = 0; k < this.count; ++k) brought[touched[k]] *= weight;
    for (let at = first; at < end; ++at) {
      const word = words[at];
      if (!isTouched[word]) {
        isTouched[word] = 1;
        touched[this.count++] = word;
      }
      brought[word] += counts ? (counts[at] - taken[Math.min(counts[at], 3)]) / total : shares[at];
    }
    return weight;
  }

  // What the counts first .. end are divided by; `weight` is what they leave to the shorter context.
  #total(n, node, first, end) {
    const { discounts, mass, takes } = this.config, counts = this.counts[n], taken = discounts[n];
    let total = this.dropped[n] ? this.dropped[n][node] : 0, left = takes ? total : mass;
    for (let at = first; at < end; ++at) {
      total += counts[at];
      if (takes) left += taken[Math.min(counts[at], 3)];
    }
    total += mass;
    this.weight = total > 0 ? left / total : 1;
    return total;
  }

  #forget() {
    for (let k = 0; k < this.count; ++k) this.brought[this.touched[k]] = this.isTouched[this.touched[k]] = 0;
    this.count = 0;
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
