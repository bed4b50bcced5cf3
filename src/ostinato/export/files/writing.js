// Free writing: where a text begins, what may be drawn, where it ends. As ostinato's generation/ does it, token by token.

const TOKENS_A_LINE = 200, TOKENS_A_DOCUMENT = 4096, TITLE = { lines: 1, tokens: 48 };

class UsageError extends Error {}

// What is certain of one text: newlines at its end and the beginnings of stop texts are held back.
class Transcript {
  constructor(writer, stop, given = "", trim = false) {
    this.stream = new TextStream(writer.tokenizer);
    this.stop = stop;
    this.texts = stop.texts || [];
    this.limit = stop.tokens || (stop.lines ? TOKENS_A_LINE * stop.lines : TOKENS_A_DOCUMENT);
    this.endIsNewline = writer.lineDocuments && Boolean(stop.lines);
    this.text = given;
    this.trim = trim;
    this.held = "";
    const lines = given.split("\n"), last = lines.pop();
    this.lines = lines.filter((line) => !isBlank(line)).length;
    this.lineOpen = !isBlank(last);
    this.drawn = 0;
    this.reason = this.#linesDone() ? "lines" : null;
  }

  get mayEnd() { return !this.stop.lines || this.endIsNewline; }

  add(id) {
    this.drawn += 1;
    if (id === END && !this.endIsNewline) return this.#finish("end");
    let piece = this.stream.push(id);
    if (id === END && this.lineOpen) piece += "\n";
    let shown = this.#take(piece);
    if (!this.reason && this.drawn >= this.limit) shown += this.#finish(this.stop.tokens ? "tokens" : "limit");
    return shown;
  }

  #finish(reason) {
    this.reason = reason;
    return this.#show(this.held.replace(/\n+$/, "").length);
  }

  #take(piece) {
    if (this.trim && piece) {
      piece = piece.replace(/^ +/, "");
      this.trim = !piece;
    }
    const text = this.held + piece, cuts = [];
    const lineEnd = this.#count(piece);
    if (lineEnd >= 0) cuts.push([this.held.length + lineEnd, "lines"]);
    for (const stop of this.texts) if (text.includes(stop)) cuts.push([text.indexOf(stop), "stop"]);
    this.held = text;
    let end = text.length - this.#overlap(text);
    if (cuts.length) [end, this.reason] = cuts.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1))[0];
    return this.#show(text.slice(0, end).replace(/\n+$/, "").length);
  }

  #show(end) {
    const shown = this.held.slice(0, end);
    this.held = this.held.slice(end);
    this.text += shown;
    return shown;
  }

  #count(piece) {
    let start = 0;
    for (let newline; (newline = piece.indexOf("\n", start)) >= 0; start = newline + 1) {
      this.lines += this.lineOpen || !isBlank(piece.slice(start, newline)) ? 1 : 0;
      this.lineOpen = false;
      if (this.#linesDone()) return newline;
    }
    this.lineOpen = this.lineOpen || !isBlank(piece.slice(start));
    return -1;
  }

  #linesDone() { return Boolean(this.stop.lines) && this.lines >= this.stop.lines; }

  #overlap(text) {
    let longest = Math.min(Math.max(1, ...this.texts.map((stop) => stop.length)) - 1, text.length);
    while (longest > 0 && !this.texts.some((stop) => stop.startsWith(text.slice(-longest)))) --longest;
    return longest;
  }
}

// One model with what it takes to write with it. page: what the exported file says of it.
class Writer {
  constructor(page, model) {
    this.model = model;
    this.tokenizer = new Tokenizer(page.tokenizer);
    this.heading = page.heading;
    this.lineDocuments = page.lineDocuments;
    this.opening = page.opening;
    const first = this.opening.first ? this.opening.first.split("\n") : [];
    this.whole = new Set(first);
    this.parts = new Set(first.flatMap((one) => [...one].map((_, n, all) => all.slice(0, n).join(""))));
    this.openings = new Map();
    this.scores = new Float64Array(this.tokenizer.size);
  }

  // What a text without a prompt is after one more token; null once it has begun as a training text begins, or otherwise.
  #begun(begun, id) {
    const text = this.#added(begun, id);
    return this.parts.has(text) && !this.whole.has(text) ? text : null;
  }

  #added(begun, id) {
    const { tokenizer, opening } = this;
    if (tokenizer.kind === "byte") return id >= FIRST_BYTE && id < FIRST_CHARACTER ? begun + String.fromCharCode(id - FIRST_BYTE) : "";
    if (id < FIRST_CHARACTER) return "";
    return begun + (opening.trim && !begun ? tokenizer.token(id).replace(/^ +/, "") : tokenizer.token(id));
  }

  // Only tokens that go on with what is begun as training texts begin, unless there are none.
  #maskBeginning(begun) {
    const fits = (text) => text && (this.parts.has(text) || [...text].slice(0, 3).some((_, n, all) => this.whole.has(all.slice(0, n + 1).join(""))));
    const known = this.openings.get(begun) || Uint8Array.from(this.scores, (_, id) => (fits(this.#added(begun, id)) ? 1 : 0));
    this.openings.set(begun, known);
    const masked = this.scores.map((score, id) => (known[id] ? score : -Infinity));
    if (masked.some((score) => score > -Infinity)) this.scores.set(masked);
  }

  encode(text) {
    if (!this.lineDocuments) return this.tokenizer.encode(text);
    return text.split("\n").flatMap((line, n) => [...(n ? [END] : []), ...this.tokenizer.encode(line)]);
  }

  // What stands before the first drawn token: a title, given or to be made up, and the prompt.
  open(prompt, title) {
    const { heading } = this;
    if (title !== null && !heading) throw new UsageError("noTitles");
    if (title !== null && title.includes("\n")) throw new UsageError("titleLine");
    if (!heading && !prompt) return { read: [END, ...this.opening.after], prompt, title: null, trim: this.opening.trim && this.opening.after.length > 0 };
    if (!heading) return { read: [END, ...this.encode(prompt)], prompt, title: null };
    if (prompt.startsWith(heading)) {
      if (title !== null) throw new UsageError("twoTitles");
      const [first, ...rest] = prompt.slice(heading.length).split("\n");
      return { read: [END, ...this.encode(prompt)], prompt: rest.join("\n"), title: first, open: !rest.length, after: [] };
    }
    if (title !== null) return { read: [END, ...this.encode(`${heading}${title}\n${prompt}`)], prompt, title };
    return { read: [END, ...this.encode(strip(heading) ? heading.replace(/\s+$/, "") : heading)], prompt, title: "", open: true,
      after: this.encode(prompt) };
  }

  // Events of one text: {text, title} as it is certain, {id, bits, likeliest} of each drawn token if `details`, and
  // {done, reason, tokens, title, body} at its end. request: prompt, title (null: none given), seed, row, stop, sampler.
  *write({ prompt = "", title = null, seed = 0, row = 0, stop = {}, sampler = {}, details = 0 }) {
    const context = this.open(prompt, title), key = rowKey(seed, row), draws = new Sampler(sampler);
    let begun = this.whole.size && !this.heading && !context.prompt ? "" : null;
    const titled = context.open ? new Transcript(this, TITLE, context.title) : null;
    const body = new Transcript(this, stop, context.prompt, context.trim), recent = [...context.read];
    let unread = context.read, state = this.model.initialState(), drawn = 0, utf8State = 0;
    if (context.title !== null) yield { text: `${this.heading}${context.title}${context.open ? "" : "\n"}`, title: true };
    if (!context.open && context.prompt) yield { text: context.prompt };
    while (!(body.reason && (!titled || titled.reason))) {
      const inTitle = titled && !titled.reason;
      unread.forEach((id, n) => this.model.step(id, state, n === unread.length - 1));
      this.#mask(utf8State, !inTitle && body.mayEnd);
      if (begun !== null) this.#maskBeginning(begun);
      const id = draws.draw(this.scores, uniform(key, drawn++), recent);
      if (id < 0) throw new UsageError("nothing");
      if (details) yield { id, ...inspect(this.model.logits, id, details) };
      unread = [id];
      recent.push(id);
      if (begun !== null) begun = this.#begun(begun, id);
      utf8State = afterToken(utf8State, id);
      if (!inTitle) {
        const text = body.add(id);
        if (text) yield { text };
        continue;
      }
      const untitled = !titled.text, text = titled.add(id), shown = untitled ? text.replace(/^\s+/, "") : text;
      if (shown) yield { text: shown, title: true };
      if (titled.reason) {
        utf8State = 0;
        unread = [id, ...(titled.reason === "lines" ? [] : this.tokenizer.encode("\n")), ...context.after];
        recent.push(...unread.slice(1));
        yield { text: "\n", title: true };
        if (context.prompt) yield { text: context.prompt };
      }
    }
    const name = titled ? strip(titled.text) : context.title;
    yield { done: true, reason: body.reason, tokens: drawn, title: name, body: body.text };
  }

  // The scores to draw from, without what would break a character and without an end that may not come.
  #mask(state, mayEnd) {
    const { scores } = this, { logits } = this.model;
    if (state) scores.fill(-Infinity);
    else scores.set(logits);
    for (let byte = 0; byte < 256; ++byte)
      scores[FIRST_BYTE + byte] = byteAllowed(state, byte) ? logits[FIRST_BYTE + byte] : -Infinity;
    if (!mayEnd) scores[END] = -Infinity;
  }
}
