// Writing in form: lines of a given length that rhyme, begin with given letters and have no banned words. Line by line, each
// the best of several that were drawn under a mask; where none can be, lines before it are taken back.

const CANDIDATES = 8, STARTS = 3, SPARE_TRIES = 16, PATIENCE = 5, TOKENS_A_UNIT = 8, TOKENS_BESIDE = 20;
const USUAL_LENGTH = { zh: [3, 14], en: [3, 16] }, LONGEST_LINE = 60, MOST_LINES = 200;

// What is asked of each line. form: lines, length ("7", "5-9", "7,7,5,5"), rhyme ("AABA", "AABA,A=word"), acrostic, ban (words).
function outline(form, lexicon, first) {
  const lengths = (form.length || "").replace(/，/g, ",").split(",").filter((part) => !isBlank(part)).map((part) => {
    const [, low, high] = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part) || [];
    const range = [Number(low), Number(high || low)];
    if (!(range[0] >= 1 && range[0] <= range[1] && range[1] <= LONGEST_LINE)) throw new UsageError("lengthWrong");
    return range;
  });
  const [scheme, given] = rhymeOf(form.rhyme || "", lexicon), letters = [...(form.acrostic || "")].filter((c) => !isBlank(c));
  const most = Math.max(scheme.length, lengths.length, letters.length), lines = form.lines || (most > 1 ? most : 4);
  if (lines > MOST_LINES) throw new UsageError("linesWrong");
  for (const size of [scheme.length, lengths.length]) if (size > 1 && lines % size) throw new UsageError("schemeWrong");
  if (letters.length > lines) throw new UsageError("acrosticWrong");
  const ban = (form.ban || []).map((word) => word.toLowerCase());
  if (letters.some((letter) => ban.includes(letter.toLowerCase())) || ban.some((word) => first.toLowerCase().includes(word)))
    throw new UsageError("banWrong");
  const specs = [...Array(lines).keys()].map((n) => {
    const [low, high] = lengths.length ? lengths[n % lengths.length] : USUAL_LENGTH[lexicon.language];
    const letter = scheme[n % scheme.length] || "", start = (letters[n] || "").toLowerCase();
    return { low, high, letter, group: letter === "X" ? "" : letter, start, given: n === 0 ? first : "" };
  });
  if (first && specs[0].start && !first.toLowerCase().startsWith(specs[0].start)) throw new UsageError("acrosticWrong");
  if (lexicon.units(first) > specs[0].high) throw new UsageError("promptLong");
  const sizes = {};
  for (const { group } of specs) sizes[group] = (sizes[group] || 0) + 1;
  const free = letters.length && letters.length < lines ? letters.length : 0; // lines from there on begin freely
  return { specs, given, sizes, ban, free };
}

function rhymeOf(text, lexicon) {
  let scheme = "";
  const given = {}, rhymes = (sound) => {
    const found = lexicon.named(strip(sound));
    if (!found) throw new UsageError("rhymeWrong");
    return found;
  };
  for (const part of text.replace(/，/g, ",").split(",").map(strip).filter(Boolean)) {
    const named = /^([A-Z])=(.+)$/.exec(part);
    if (named) given[named[1]] = rhymes(named[2]);
    else if (/^[A-Z-]+$/.test(part) && !scheme) scheme = part.replace(/-/g, "X");
    else if (!scheme && !Object.keys(given).length) [scheme, given.A] = ["A", rhymes(part)];
    else throw new UsageError("rhymeWrong");
  }
  scheme = scheme || Object.keys(given).join("");
  if (Object.keys(given).some((letter) => letter === "X" || !scheme.includes(letter))) throw new UsageError("rhymeWrong");
  return [scheme, given];
}

// One text in form. Iterating it gives {tick, lines} while it is written; `steps` are its lines then.
class Composition {
  constructor(writer, request) {
    this.writer = writer;
    this.lexicon = writer.lexicon;
    this.sampler = new Sampler(request.sampler);
    const lines = request.prompt.split("\n");
    this.first = lines.pop();
    this.earlier = lines;
    this.outline = outline(request.form, this.lexicon, this.first);
    this.key = rowKey(request.seed, request.row);
    this.drawn = 0;
    const { tokenizer } = writer, padded = tokenizer.kind === "whitespace" && tokenizer.padded;
    this.newline = writer.lineDocuments ? [END] : tokenizer.encode(padded ? " \n" : "\n");
    this.steps = [];
  }

  *run(read) {
    const { model } = this.writer, state = model.initialState(), { specs } = this.outline;
    read.slice(0, -1).forEach((id) => model.step(id, state, false));
    const opened = { state, unread: read.slice(-1) };
    for (let start = 0; start < STARTS; ++start) {
      const failures = specs.map(() => 0);
      this.steps = [];
      for (let tries = SPARE_TRIES + 3 * specs.length; tries > 0; --tries) {
        const at = this.steps.length, step = yield* this.#line(at ? this.steps[at - 1].cursor : opened, at, failures[at], start === STARTS - 1);
        if (step) this.steps.push(step);
        else if (++failures[at] % 2 === 0) this.steps.length = Math.max(0, at - failures[at] / 2);
        if (this.steps.length === specs.length) return;
      }
    }
    throw new UsageError("formFailed");
  }

  // One try for line `at`; a second one has twice the candidates. loose: only what was asked for is asked of rhymes.
  *#line(cursor, at, failed, loose) {
    const { model } = this.writer, bonds = this.#bonds(at), found = [];
    const line = this.#automaton(at, loose ? bonds[bonds.length - 1] : bonds[Math.min(Math.floor(failed / PATIENCE), bonds.length - 1)]);
    if (!line) return null;
    const state = model.copy(cursor.state);
    cursor.unread.forEach((id) => model.step(id, state));
    const logits = model.logits.slice(), limit = TOKENS_A_UNIT * line.plan.high + TOKENS_BESIDE + line.plan.given.length;
    for (let n = 0; n < CANDIDATES * (failed ? 2 : 1); ++n) {
      const candidate = this.#draw(line, state, logits, limit);
      if (candidate && this.#fine(candidate)) found.push(candidate);
      yield { tick: true, lines: at };
    }
    if (!found.length) return null;
    const top = Math.max(...found.map((one) => one.weight)), weights = found.map((one) => Math.exp(one.weight - top));
    let rest = this.#number() * weights.reduce((sum, x) => sum + x, 0), chosen = 0;
    while (chosen < found.length - 1 && (rest -= weights[chosen]) >= 0) ++chosen;
    return found[chosen];
  }

  #number() { return uniform(this.key, this.drawn++); }

  // What the lines before ask of the rhyme of line `at`: the strictest that some word meets, and what is left as rules give way.
  #bonds(at) {
    const { specs, given, sizes } = this.outline, { group, letter } = specs[at], { lexicon } = this;
    let rhymes = given[group] || null;
    const not = new Set(), foreign = new Set();
    for (const [n, step] of this.steps.slice(0, at).entries()) {
      if (group && specs[n].group === group) {
        rhymes = new Set(step.word.rhymes.filter((key) => !rhymes || rhymes.has(key)));
        not.add(lexicon.last(step.word));
      } else if (specs[n].letter) for (const key of step.word.every) foreign.add(key);
    }
    for (const other of specs.slice(at)) if (other.group && other.group !== group) for (const key of given[other.group] || []) foreign.add(key);
    for (const key of rhymes || []) foreign.delete(key);
    const own = group ? { rhymes, not, partners: rhymes ? 0 : sizes[group] } : {}, apart = letter ? { foreign } : {};
    const bonds = [...(group && carries(this.outline, group) ? [{ ...own, ...apart, heavy: true }] : []), { ...own, ...apart }, own];
    const met = bonds.findIndex((bond) => lexicon.matching(bond).some(Boolean));
    return bonds.slice(met < 0 ? bonds.length - 1 : met);
  }

  // What is to be said of the text: [name, numbers and words] for the page's words.
  notes() {
    const { specs, free } = this.outline, { lexicon, steps } = this, notes = free ? [["acrosticFree", free + 1]] : [];
    for (const [n, { word }] of steps.entries()) {
      if (specs[n].group && carries(this.outline, specs[n].group) && word.light) notes.push(["lightRhyme", n + 1, lexicon.last(word)]);
      for (let m = n + 1; m < steps.length; ++m) {
        const parted = specs[n].letter && specs[m].letter && !(specs[n].group && specs[n].group === specs[m].group);
        if (parted && word.every.some((key) => steps[m].word.every.includes(key))) notes.push(["rhymeAcross", n + 1, m + 1]);
      }
    }
    return notes;
  }

  #automaton(at, bond) {
    const { lexicon, outline: { specs, ban }, writer: { tokenizer } } = this, spec = specs[at];
    let given = spec.given, head = lexicon.matching({});
    if (!given && spec.start) {
      head = lexicon.matching({ starts: spec.start });
      if (!head.some(Boolean)) [given, head] = [spec.start, lexicon.matching({})];
    }
    const { group } = spec, tail = lexicon.matching(bond);
    const banned = Uint8Array.from(lexicon.words, (word) => (ban.some((one) => word.bare.includes(one)) ? 1 : 0));
    const units = lexicon.units(given), low = Math.max(spec.low - units, group ? 1 : 0), high = spec.high - units;
    if (high < low || (high > 0 && !tail.some((fits, n) => fits && !banned[n]))) return null;
    return new FormLine(lexicon, { given: given ? tokenizer.encode(given.replace(/ +$/, "")) : [], low, high, head, tail, banned }, this.newline);
  }

  // A line drawn under the mask, or null where it runs into a dead end. weight: log of what the masks left of the probability.
  #draw(line, from, logits, limit) {
    const { model, scores } = this.writer, state = model.copy(from), ids = [];
    let track = line.start(), weight = 0;
    for (;;) {
      const allowed = line.allowed(track);
      if (!allowed.length || ids.length > limit) return null;
      weight += massOf(logits, allowed, this.sampler.temperature || 1);
      scores.fill(-Infinity);
      for (const id of allowed) scores[id] = logits[id];
      const id = this.sampler.draw(scores, this.#number(), ids);
      if (id < 0) return null;
      ids.push(id);
      track = line.advance(track, id);
      if (line.done(track)) break;
      model.step(id, state);
      logits = model.logits;
    }
    const text = strip(this.writer.tokenizer.decode(ids.slice(0, ids.length - this.newline.length)));
    return { ids, weight, text, word: track.word || { rhymes: [], every: [], bare: "" }, cursor: { state, unread: ids.slice(-1) } };
  }

  #fine({ text }) {
    const lower = text.toLowerCase();
    return !this.outline.ban.some((word) => lower.includes(word)) && !this.steps.some((step) => step.text.toLowerCase() === lower);
  }
}

// Whether the lines of a letter rhyme with each other, or with a sound that was asked for.
const carries = ({ sizes, given }, group) => sizes[group] > 1 || Boolean(given[group]);

// Log of the share that some ids have of the probability, at a temperature.
function massOf(logits, ids, temperature) {
  let top = -Infinity, all = 0, some = 0;
  for (let i = 0; i < logits.length; ++i) if (logits[i] > top) top = logits[i];
  for (let i = 0; i < logits.length; ++i) all += Math.exp((logits[i] - top) / temperature);
  for (const id of ids) some += Math.exp((logits[id] - top) / temperature);
  return Math.log(some / all);
}

// Events of a text in form, as Writer.write has them: ticks while it is sought, then its tokens and their texts.
Writer.prototype.writeForm = function* (request) {
  const { prompt = "", seed = 0, row = 0, details = 0 } = request;
  if (!this.lexicon) throw new UsageError("noForm");
  const composition = new Composition(this, { ...request, prompt, seed, row });
  let { title = null } = request;
  if (title !== null && !this.heading) throw new UsageError("noTitles");
  if (title === null && this.heading && !composition.earlier.length)
    for (const event of this.write({ seed: BigInt(seed) + BigInt(row), stop: { tokens: 1 }, sampler: request.sampler })) title = event.title;
  const earlier = composition.earlier.map((line) => `${line}\n`).join("");
  const heading = this.heading && title !== null ? `${this.heading}${title}\n` : "";
  const read = this.heading || earlier ? [END, ...this.encode(heading + earlier)] : this.open("", null).read;
  yield* composition.run(read);
  if (heading) yield { text: heading, title: true };
  if (earlier) yield { text: earlier };
  const state = this.model.initialState(), lines = composition.steps.map((step) => step.text);
  const ids = composition.steps.flatMap((step) => step.ids);
  if (!details) yield { text: lines.join("\n") };
  else {
    read.forEach((id) => this.model.step(id, state));
    for (const [n, step] of composition.steps.entries()) {
      for (const id of step.ids) {
        yield { id, ...inspect(this.model.logits, id, details) };
        this.model.step(id, state);
      }
      yield { text: `${step.text}${n + 1 < lines.length ? "\n" : ""}` };
    }
  }
  yield { done: true, reason: "form", tokens: ids.length, title, body: earlier + lines.join("\n"), notes: composition.notes() };
};
