// The context-mixing model: binary decisions along a tree of the vocabulary, in the whole numbers of kernels/csrc/mixing.h.

const KINDS = 20, INPUTS = 2 * KINDS + 1, SETS = 4, ORDERS = [1, 2, 3, 4, 5, 6, 8, 11], PROBE = 8, BRANCHING = 0x8000;
const SET_STARTS = [0, 32, 32 + 1024, 32 + 1024 + 1024], APM_STEPS = 33, APM_ROWS = 65536;
const HISTORY = 16, LINE = 24, NEWLINE_CLASS = 1, LETTER_CLASS = 3;
const [WORD, BEFORE, EARLIER, POSITION, START, ABOVE_LENGTH, RHYME, RHYME_ABOVE, LAST_LETTER] = [...Array(9).keys()].map((i) => HISTORY + i);
const LINE_AT = HISTORY + 9, ABOVE_AT = LINE_AT + LINE, STATE_SIZE = ABOVE_AT + LINE;

const clampStretch = (x) => (x > 2047 ? 2047 : x < -2047 ? -2047 : x);

function mixHash(hash, value) {
  const h = Math.imul(hash + value + 1, 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
}

function hashOf(...values) { return values.reduce((hash, value) => mixHash(hash, value)); }

// A table without its empty places: a bit for each place, and the rows that are in use.
class Sparse {
  constructor(bits) {
    this.bits = new Uint32Array(bits.buffer, bits.byteOffset, bits.length / 4);
    this.before = new Uint32Array(this.bits.length);
    for (let i = 1; i < this.bits.length; ++i) this.before[i] = this.before[i - 1] + Sparse.#ones(this.bits[i - 1]);
  }

  // The row of a place, or -1.
  row(place) {
    const word = this.bits[place >>> 5], bit = 1 << (place & 31);
    return word & bit ? this.before[place >>> 5] + Sparse.#ones(word & (bit - 1)) : -1;
  }

  static #ones(x) {
    x -= (x >>> 1) & 0x55555555;
    x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
    return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
}

class MixingModel {
  // config: vocabulary_size, and records and slots, how many places the tables have (powers of two).
  constructor(config, arrays) {
    const V = config.vocabulary_size, halves = (name) => {
      const low = arrays(`${name}.low`), high = arrays(`${name}.high`), values = new Uint16Array(low.length);
      for (let i = 0; i < low.length; ++i) values[i] = low[i] | (high[i] << 8);
      return values;
    };
    this.vocabularySize = V;
    this.recordMask = config.records - 1;
    this.slotMask = config.slots - 1;
    for (const name of ["tree", "folded", "classes", "ranks", "maps", "weights", "final_weights", "apm", "apm_last", "frequent"]) this[name] = arrays(name);
    for (const name of ["records", "slots", "apm_last"]) this[`${name}At`] = new Sparse(arrays(`${name}.used`));
    for (const name of ["heads", "tails", "checks"]) this[name] = halves(name);
    this.said = new Uint16Array(this.checks.length); // p of a 1 in 1/4096
    this.histories = new Uint8Array(this.checks.length);
    const pairs = arrays("pairs"), ranks = new Packed(arrays("said"));
    for (let row = 0; row < this.said.length; ++row) {
      const pair = pairs[ranks.next()];
      this.said[row] = pair >> 8;
      this.histories[row] = pair & 255;
    }
    this.#tables();
    this.parents = new Int32Array(V - 1).fill(-1);
    this.leaves = new Int32Array(V);
    for (let at = 0; at < 2 * (V - 1); ++at) {
      const child = this.tree[at]; // node and decision as one number
      if (child < 0) this.leaves[-1 - child] = at;
      else this.parents[child] = at;
    }
    this.hashes = new Uint32Array(KINDS);
    this.counts = new Uint8Array(KINDS);
    this.masks = new Uint32Array(V);
    this.sure = new Uint32Array(V);
    this.directions = new Uint32Array(V);
    this.sums = new Float64Array(V);
    this.kinds = new Uint8Array(KINDS);
    this.inputs = new Int32Array(2 * KINDS);
    this.logits = new Float64Array(V);
  }

  #tables() {
    this.stretch = Int16Array.from({ length: 4096 }, (_, p) => (p ? clampStretch(Math.round(256 * Math.log(p / (4096 - p)))) : -2047));
    this.squash = Uint16Array.from({ length: 4096 }, (_, x) => Math.max(1, Math.min(65535, Math.round(65536 / (1 + Math.exp(-(x - 2048) / 256))))));
    this.straight = Uint16Array.from({ length: APM_STEPS }, (_, i) => this.squash[Math.min(4095, 128 * i)]);
    this.certain = new Uint16Array(16).fill(32768);
    for (let n = 0; n < 15; ++n) {
      const p = this.certain[n], rate = Math.round(65536 / (n + 1.5));
      this.certain[n + 1] = Math.min(Math.max(p + Math.floor(((65535 - p) * rate) / 65536), 16), 65520);
    }
    this.logarithms = Float64Array.from({ length: 65536 }, (_, p) => Math.log(Math.max(p, 1) / 65536));
  }

  initialState() { return new Uint32Array(STATE_SIZE); }
  copy(state) { return state.slice(); }

  step(id, state, wanted = true) {
    if (id === END) state.fill(0);
    else this.#advance(id, state);
    if (wanted) this.#predict(state);
  }

  #advance(id, s) {
    const kind = this.classes[id];
    s.copyWithin(1, 0, HISTORY - 1);
    s[0] = id;
    if (kind === LETTER_CLASS) {
      s[WORD] = mixHash(s[WORD], this.folded[id]);
      s[LAST_LETTER] = this.folded[id];
    } else if (s[WORD]) [s[EARLIER], s[BEFORE], s[WORD]] = [s[BEFORE], s[WORD], 0];
    if (kind === NEWLINE_CLASS) {
      s.copyWithin(ABOVE_AT, LINE_AT, ABOVE_AT);
      s.fill(0, LINE_AT, ABOVE_AT);
      [s[ABOVE_LENGTH], s[RHYME_ABOVE], s[RHYME]] = [s[POSITION], s[RHYME], s[LAST_LETTER]];
      s[POSITION] = s[START] = 0;
    } else {
      if (s[POSITION] < LINE) s[LINE_AT + s[POSITION]] = id;
      if (++s[POSITION] <= 4) s[START] = mixHash(s[START], id);
    }
  }

  #contexts(s) {
    const out = this.hashes, word = mixHash(s[WORD], s[0]), pair = mixHash(word, s[BEFORE]), skip = mixHash(s[1], s[2]), place = s[POSITION];
    const above = (at) => (at < LINE ? s[ABOVE_AT + at] : 0), left = Math.min(s[ABOVE_LENGTH] + 8 - Math.min(place, s[ABOVE_LENGTH] + 8), 24);
    let hash = 0, n = 0, k = 1;
    out[0] = 0;
    for (const order of ORDERS) {
      while (n < order) hash = mixHash(hash, s[n++]);
      out[k++] = hash;
    }
    out.set([
      word, pair, mixHash(pair, s[EARLIER]), mixHash(word, s[EARLIER]), skip, mixHash(skip, s[3]), mixHash(Math.min(place, 63), s[0]),
      mixHash(s[START], word), hashOf(above(place), above(place + 1), s[0]), hashOf(left, s[RHYME], s[0]), hashOf(left, s[RHYME_ABOVE], s[RHYME]),
    ], k);
    for (k = 0; k < KINDS; ++k) out[k] = mixHash(out[k], 0x10000 * (k + 1));
  }

  #record(hash) {
    const first = Math.imul(hash, 0x2545f491), check = (hash >>> 20) << 4;
    for (let i = 0; i < PROBE; ++i) {
      const row = this.recordsAt.row((first + i) & this.recordMask);
      if (row >= 0 && (this.heads[row] & 0xfff0) === check) return row;
    }
    return -1;
  }

  #slot(hash) {
    const first = Math.imul(hash, 0x2545f491), check = (hash >>> 16) | 1;
    for (let i = 0; i < PROBE; ++i) {
      const row = this.slotsAt.row((first + i) & this.slotMask);
      if (row < 0 || this.checks[row] === check) return row;
    }
    return -1;
  }

  // One walk over the tree; parents come before their children.
  #predict(state) {
    const { masks, sure, directions, sums, tree, frequent, logarithms, logits } = this, nodes = this.vocabularySize - 1;
    sure.fill(0);
    directions.fill(0);
    masks[0] = this.#open(state);
    sums[0] = 0;
    for (let node = 0; node < nodes; ++node) {
      const alone = masks[node] === 1 && !sure[node] && frequent[node];
      const p = alone || this.#decide(node);
      for (let bit = 0; bit < 2; ++bit) {
        const sum = sums[node] + logarithms[bit ? p : 65536 - p], child = tree[2 * node + bit];
        if (child < 0) logits[-1 - child] = sum;
        else {
          sums[child] = sum;
          masks[child] = masks[node];
        }
      }
    }
  }

  // What is the same for all nodes; returns the contexts that several tokens have followed, as bits. Those that one token
  // alone has followed speak along its path.
  #open(state) {
    const { sure, directions } = this;
    let branching = 0;
    this.#contexts(state);
    for (let k = 0; k < KINDS; ++k) {
      const row = this.#record(this.hashes[k]);
      if (row < 0) continue;
      if (this.tails[row] & BRANCHING) {
        branching |= 1 << k;
        continue;
      }
      this.counts[k] = this.heads[row] & 15;
      for (let at = this.leaves[this.tails[row]]; at >= 0; at = this.parents[at >> 1]) {
        sure[at >> 1] |= 1 << k;
        directions[at >> 1] |= (at & 1) << k;
      }
    }
    this.pair = mixHash(state[0], state[1]);
    this.lastRank = this.ranks[state[0]];
    this.place = 4 * Math.min(state[POSITION], 15) + this.classes[state[0]];
    return branching;
  }

  // p of the decision 1 at a node, in 1/65536. `masks` keep the contexts that still speak below it.
  #decide(node) {
    const { kinds, inputs, stretch, maps, masks } = this, certain = this.sure[node], direction = this.directions[node];
    let count = 0, matched = 0, unsure = 0, only = 0;
    for (let bits = masks[node] | certain; bits; bits &= bits - 1) {
      const k = 31 - Math.clz32(bits & -bits);
      let said, history;
      if (masks[node] & (1 << k)) {
        const row = this.#slot(mixHash(this.hashes[k], (node ^ 0x5bd1e995) >>> 0));
        if (row < 0) {
          masks[node] &= ~(1 << k);
          continue;
        }
        said = this.said[row];
        history = this.histories[row];
        if (k === 0) only = this.frequent[node];
      } else {
        const times = this.counts[k], one = (direction >>> k) & 1, p = one ? this.certain[times] : 65536 - this.certain[times];
        said = p >> 4;
        history = one ? times : times << 4;
        only = p;
      }
      if (k >= 1 && k <= ORDERS.length) {
        ++matched;
        unsure = history & 15 && history >> 4;
      }
      kinds[count] = k;
      inputs[2 * count] = stretch[said];
      inputs[2 * count++ + 1] = stretch[maps[256 * k + history]];
    }
    if (count === 1 && kinds[0] === 0) return only;
    return this.#mix(node, count, matched, 2 * matched + (matched && !unsure ? 1 : 0));
  }

  #mix(node, count, matched, finalSet) {
    const { weights, final_weights: last, squash, kinds, inputs } = this, group = matched < 8 ? matched >> 1 : 3;
    let total = 0;
    for (let j = 0; j < SETS; ++j) {
      const choice = j === 0 ? finalSet : 4 * (j === 1 ? Math.min(node, 255) : j === 2 ? this.lastRank : this.place) + group;
      const row = INPUTS * (SET_STARTS[j] + choice);
      let dot = weights[row + 2 * KINDS] * 256; // below 2^53, so exact
      for (let i = 0; i < count; ++i) dot += weights[row + 2 * kinds[i]] * inputs[2 * i] + weights[row + 2 * kinds[i] + 1] * inputs[2 * i + 1];
      total += last[SETS * finalSet + j] * clampStretch(Math.floor(dot / 1048576));
    }
    const mixed = clampStretch(Math.floor(total / 1048576)), place = 32 * (mixed + 2048), low = place >> 12, share = place & 4095;
    const refined = (table, at) => (table[at] * (4096 - share) + table[at + 1] * share) >> 12;
    const row = this.apm_lastAt.row(mixHash(this.pair, node) & (APM_ROWS - 1));
    const byLast = row < 0 ? refined(this.straight, low) : refined(this.apm_last, APM_STEPS * row + low);
    const p = (2 * squash[mixed + 2048] + refined(this.apm, APM_STEPS * node + low) + byLast + 2) >> 2;
    return Math.max(1, Math.min(65535, p));
  }
}
