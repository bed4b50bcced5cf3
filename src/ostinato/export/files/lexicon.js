// The words that lines in form are made of, with lengths and rhymes, as a trie over token ids.

const ATTACHED = /[，。、？！；：…,.?!;:]+$/;
const HAN_LETTER = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]/u;

class Lexicon {
  // form: language, words (one per line), units and rhymes of each, names of the rhymes, marks inside and at the end of lines.
  constructor(tokenizer, form) {
    this.language = form.language;
    this.marksFirst = form.marksFirst;
    this.inside = form.inside;
    this.ending = form.ending;
    this.names = form.names;
    const light = new Set(form.light);
    const word = (text, n) => ({
      text, bare: text.replace(/^ /, "").replace(ATTACHED, "").toLowerCase(), ids: this.#ids(tokenizer, text),
      units: form.units[n], rhymes: form.rhymes[n], blank: text[0] === " ", every: [...form.rhymes[n], ...(form.others[n] || [])],
    });
    this.words = form.words ? form.words.split("\n").map(word) : [];
    for (const one of this.words) one.light = light.has(this.last(one));
    this.words.sort((a, b) => {
      for (let i = 0; ; ++i) if (a.ids[i] !== b.ids[i]) return (a.ids[i] ?? -1) - (b.ids[i] ?? -1);
        else if (a.ids[i] === undefined) return 0;
    });
    this.root = this.#node(0, this.words.length, 0);
    this.unitsOf = new Map(this.words.map((one) => [one.bare, one.units]));
    this.found = new Map();
  }

  #ids(tokenizer, text) {
    const known = tokenizer.wordIds.get(text) ?? ([...text].length === 1 ? tokenizer.characterIds.get(text) : undefined);
    if (known !== undefined) return [known];
    return [...text].flatMap((character) => tokenizer.characterIds.get(character) ?? [...utf8.encode(character)].map((b) => b + FIRST_BYTE));
  }

  // Words low .. high - 1 share their first `depth` ids; `word` is the one that ends here, or -1.
  #node(low, high, depth) {
    const node = { low, high, word: -1, next: new Map() };
    while (low < high && this.words[low].ids.length === depth) node.word = low++;
    while (low < high) {
      const id = this.words[low].ids[depth];
      let end = low;
      while (end < high && this.words[end].ids[depth] === id) ++end;
      node.next.set(id, this.#node(low, end, depth + 1));
      low = end;
    }
    return node;
  }

  // What a line counts: Chinese characters, syllables of known words, other letters and digits.
  units(text) {
    const parts = text.match(/[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[A-Za-z]+(?:['’][A-Za-z]+)*|[\p{L}\p{N}]/gu) || [];
    return parts.reduce((sum, part) => sum + (this.unitsOf.get(part.toLowerCase()) ?? Math.max(1, (part.match(/[aeiouy]+/gi) || []).length)), 0);
  }

  // What two lines that rhyme may not share.
  last(word) { return this.language === "zh" ? [...word.bare].pop() : word.bare; }

  // Of each word, 1 where it meets a condition: rhymes (a set), partners (it has a rhyme of so many words), starts, not (a set), heavy
  // (it is no function word), foreign (none of its readings has one of these rhymes).
  matching({ rhymes = null, partners = 0, starts = "", not = null, heavy = false, foreign = null }) {
    const roomy = partners ? new Set([...this.#sizes()].filter(([, size]) => size >= partners).map(([key]) => key)) : null;
    const meets = (word) =>
      (!rhymes || word.rhymes.some((key) => rhymes.has(key))) && (!roomy || word.rhymes.some((key) => roomy.has(key))) &&
      word.bare.startsWith(starts) && !(not && not.has(this.last(word))) && !(heavy && word.light) &&
      !(foreign && word.every.some((key) => foreign.has(key)));
    return Uint8Array.from(this.words, (word) => (meets(word) ? 1 : 0));
  }

  // How many different ends have each rhyme.
  #sizes() {
    if (this.sizes) return this.sizes;
    this.sizes = new Map();
    for (const word of new Map(this.words.map((one) => [this.last(one), one])).values())
      for (const key of word.rhymes) this.sizes.set(key, (this.sizes.get(key) || 0) + 1);
    return this.sizes;
  }

  // The rhymes a user means: the name of a class, or a word or text whose end is known.
  named(sound) {
    const name = this.names.indexOf(sound.replace(/[辙韵]$/, ""));
    if (name >= 0) return new Set([name]);
    const wanted = sound.toLowerCase(), ends = this.language === "zh" ? [...wanted].slice(-1)[0] : wanted.split(" ").pop();
    const word = this.words.find((one) => one.bare === wanted) || this.words.find((one) => one.bare === ends);
    return word && word.rhymes.length ? new Set(word.rhymes) : null;
  }
}

// One line as an automaton over tokens: only what can still be completed is allowed. plan: given (ids that come first), low,
// high (units that are free), head, tail (1 for words that may begin and end it), banned (1 for words that may not come).
class FormLine {
  constructor(lexicon, plan, newline) {
    Object.assign(this, { lexicon, plan, newline });
    this.fitting = new Map();
    this.between = new Map(); // what is allowed between two words, which is asked again and again
    this.shortest = lexicon.words.reduce((least, word, n) => (plan.tail[n] ? Math.min(least, word.units) : least), plan.high + 1);
  }

  start() { return { given: 0, used: 0, words: 0, node: null, ready: this.plan.low <= 0, mark: 0, word: null, ended: 0 }; }

  done(track) { return track.ended === this.newline.length; }

  // Ids that may come next; none in a dead end.
  allowed(track) {
    const { plan, lexicon } = this;
    if (track.given < plan.given.length) return [plan.given[track.given]];
    if (track.ended) return [this.newline[track.ended]];
    const key = `${track.used} ${track.words > 0} ${track.ready} ${track.mark}`, known = track.node ? undefined : this.between.get(key);
    if (known) return known;
    const ids = new Set();
    if (track.node) {
      const fits = this.#fitting(track);
      for (const [id, node] of track.node.next) if (fits[node.high] > fits[node.low]) ids.add(id);
      if (!this.#complete(track)) return [...ids];
      for (const id of this.allowed(this.#after(track))) ids.add(id);
      return [...ids];
    }
    if (this.#mayBegin(track)) {
      const fits = this.#fitting(track);
      for (const [id, node] of lexicon.root.next) if (fits[node.high] > fits[node.low]) ids.add(id);
    }
    if (this.#mayMark(track)) for (const id of lexicon.inside) ids.add(id);
    if (track.ready) {
      ids.add(this.newline[0]);
      if (!track.mark && track.words) for (const id of lexicon.ending) ids.add(id);
    }
    this.between.set(key, [...ids]);
    return this.between.get(key);
  }

  // The track after an allowed id.
  advance(track, id) {
    if (track.given < this.plan.given.length) return { ...track, given: track.given + 1 };
    if (track.ended) return { ...track, ended: track.ended + 1 };
    if (track.node) {
      const inside = track.node.next.get(id);
      if (inside && this.#some(track, inside)) return { ...track, node: inside };
      track = this.#after(track);
    }
    const begun = this.#mayBegin(track) ? this.lexicon.root.next.get(id) : undefined;
    if (begun && this.#some(track, begun)) return { ...track, node: begun };
    if (this.lexicon.inside.includes(id) && this.#mayMark(track))
      return { ...track, mark: 1, ready: track.ready && this.lexicon.ending.includes(id) };
    if (track.ready && id !== this.newline[0]) return { ...track, mark: 2 };
    return { ...track, ended: 1 };
  }

  #some(track, node) {
    const fits = this.#fitting(track);
    return fits[node.high] > fits[node.low];
  }

  #complete(track) {
    const { word } = track.node, fits = this.#fitting(track);
    return word >= 0 && fits[word + 1] > fits[word];
  }

  #after(track) {
    const { plan } = this, n = track.node.word, word = this.lexicon.words[n], used = track.used + word.units;
    return { ...track, node: null, used, words: track.words + 1, mark: 0, word, ready: used >= plan.low && used <= plan.high && plan.tail[n] === 1 };
  }

  #mayBegin(track) { return track.used < this.plan.high && !(track.mark === 2 && track.words > 0); }

  #mayMark(track) { return track.used > 1 && this.plan.high - track.used > 1 && !track.mark; }

  // Running counts of the words that may stand after `used` units.
  #fitting({ used, words }) {
    const key = 2 * used + (words ? 1 : 0), known = this.fitting.get(key);
    if (known) return known;
    const { plan, lexicon } = this, first = words === 0, counts = new Int32Array(lexicon.words.length + 1);
    lexicon.words.forEach((word, n) => {
      const after = used + word.units;
      const ends = plan.tail[n] && after >= plan.low && after <= plan.high, goesOn = after + this.shortest <= plan.high;
      const fits = (ends || goesOn) && !plan.banned[n] && (!first || plan.head[n]) &&
        (!lexicon.marksFirst || word.blank !== (first && !plan.given.length));
      counts[n + 1] = counts[n] + (fits ? 1 : 0);
    });
    this.fitting.set(key, counts);
    return counts;
  }
}
