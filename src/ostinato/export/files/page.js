// The page: reads the request, shows texts as they are written, and what the model thought of each token.

const SHOWN = 8, SLICE = 24; // alternatives of a token; milliseconds of writing between two looks at the page

const pause = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); resolve(); };
  port2.postMessage(0);
});

class Page {
  constructor() {
    this.at = (id) => document.getElementById(id);
    this.form = this.at("request");
    this.tokens = new WeakMap(); // a token's span: what the model thought of it
    this.language = (navigator.languages || [navigator.language]).find((name) => /^(en|zh)/i.test(name)) || "en";
    this.speak(this.language.slice(0, 2).toLowerCase());
    this.at("language").onchange = (event) => this.speak(event.target.value);
    this.form.onsubmit = (event) => { event.preventDefault(); this.write(); };
    this.form.onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit(); };
    this.at("halt").onclick = () => (this.halted = true);
    this.at("copy").onclick = () => this.copy();
    this.at("save").onclick = () => this.save();
    this.at("print").onclick = () => window.print();
    this.at("colours").onchange = (event) => document.body.classList.toggle("colours", event.target.checked);
    this.#listen(this.at("texts"));
  }

  speak(language) {
    this.words = WORDS[language];
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    this.at("language").value = language;
    for (const node of document.querySelectorAll("[data-words]")) node.textContent = this.words[node.dataset.words];
    for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = this.words[node.dataset.placeholder];
    for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", this.words[node.dataset.label]);
    this.#describe();
  }

  say(text, wrong = false) {
    this.at("status").textContent = text;
    this.at("status").classList.toggle("wrong", wrong);
  }

  async open() {
    this.say(this.words.loading);
    this.at("write").disabled = true;
    await new Promise((resolve) => setTimeout(resolve)); // shows the page first
    try {
      const take = (id) => {
        const text = this.at(id).textContent;
        this.at(id).remove();
        return text;
      };
      this.model = JSON.parse(take("model"));
      const weights = take("weights");
      this.size = (weights.length * 0.75) / 1e6;
      const data = fromBase64(weights);
      this.writer = openWriter(this.model, this.model.deflated ? await inflated(data) : data, fromBase64(take("kernels")));
    } catch (error) {
      this.say(error instanceof RangeError ? this.words.memory : this.words[error.message] || this.words.damaged, true);
      if (error instanceof UsageError) return;
      throw error;
    }
    this.at("titled").hidden = !this.writer.heading;
    this.at("formed").hidden = !this.writer.lexicon;
    this.at("card").textContent = this.model.card;
    this.at("write").disabled = false;
    this.#describe();
    this.say("");
  }

  #describe() {
    if (!this.writer) return;
    const parts = this.model.kind === "mixture" ? this.model.model.parts : [this.model];
    const kind = parts.map((part) => (part.kind === "recurrent" ? part.model.cell.toUpperCase() : part.kind)).join(" + ");
    const size = this.size < 1 ? `${Math.ceil(1000 * this.size)} KB` : `${this.size.toFixed(1)} MB`;
    this.at("about").textContent = this.words.about(kind, this.writer.tokenizer.size.toLocaleString(), size, this.writer.model.wasm !== false);
  }

  // The request as the fields have it. Throws UsageError.
  request() {
    const field = (name) => this.form.elements[name].value, number = (name) => Number(field(name)) || 0;
    const seed = field("seed") ? BigInt(field("seed")) : BigInt(crypto.getRandomValues(new Uint32Array(1))[0]);
    if (seed > MASK) throw new UsageError("seedWrong");
    const ban = field("ban").split(/[,，、]/).map(strip).filter(Boolean), formed = field("lineLength") || field("rhyme") || field("acrostic") || ban.length;
    if (formed && (field("tokens") || field("stop"))) throw new UsageError("formStop");
    const form = { lines: number("lines") || undefined, length: field("lineLength"), rhyme: field("rhyme"), acrostic: field("acrostic"), ban };
    return {
      form: formed ? form : null, prompt: field("prompt"), title: field("title") && this.writer.heading ? field("title") : null, seed, details: SHOWN,
      stop: { lines: number("lines") || undefined, tokens: number("tokens") || undefined, texts: field("stop") ? [field("stop")] : [] },
      sampler: {
        temperature: number("temperature"), topK: number("topK"), topP: number("topP") || 1, minP: number("minP"),
        repetitionPenalty: number("repetitionPenalty") || 1,
      },
    };
  }

  async write() {
    if (this.busy) return;
    const texts = this.at("texts"), buttons = ["copy", "save", "print"].map(this.at);
    this.busy = true;
    this.halted = false;
    this.at("halt").disabled = false;
    this.at("write").disabled = true;
    try {
      const request = this.request(), count = Number(this.form.elements.count.value) || 1;
      texts.textContent = "";
      this.#hide();
      this.say(this.words.writing);
      const notes = new Set();
      let tokens = 0, spent = 0, slice = performance.now();
      for (let row = 0; row < count && !this.halted; ++row) {
        const shown = new Shown(this, texts);
        for (const event of request.form ? this.writer.writeForm({ ...request, row }) : this.writer.write({ ...request, row })) {
          if (event.tick) this.say(this.words.line(event.lines + 1));
          else shown.take(event);
          if (event.id !== undefined) ++tokens;
          for (const [name, ...values] of event.notes || []) notes.add(this.words[name](...values));
          if (performance.now() - slice < SLICE) continue;
          spent += performance.now() - slice;
          await pause();
          slice = performance.now();
          if (this.halted) break;
        }
        shown.finish();
      }
      spent += performance.now() - slice;
      const result = this.words.tokensOf(tokens.toLocaleString(), Math.round((1000 * tokens) / Math.max(spent, 1)).toLocaleString(), request.seed);
      this.say([...(this.halted ? [this.words.halted] : []), result, ...notes].join(" "));
      for (const button of buttons) button.disabled = false;
    } catch (error) {
      this.say(this.words[error.message] || String(error.message), true);
      if (!(error instanceof UsageError)) throw error;
    } finally {
      this.busy = false;
      this.at("halt").disabled = true;
      this.at("write").disabled = false;
    }
  }

  // -- what the model thought ------------------------------------------------------------------------------------------

  #listen(texts) {
    texts.onpointerover = (event) => this.#show(event.target);
    texts.onpointerleave = () => this.#hide();
    texts.onclick = (event) => this.#show(event.target);
    texts.addEventListener("focusout", () => this.#hide());
    texts.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") this.#hide();
      if (!step || !event.target.classList.contains("text")) return;
      event.preventDefault();
      const spans = [...event.target.querySelectorAll("span[style]")], at = spans.indexOf(this.now);
      this.#show(spans[Math.min(Math.max(at + step, 0), spans.length - 1)]);
    };
  }

  #hide() {
    if (this.now) this.now.classList.remove("now");
    this.now = null;
    this.at("alternatives").hidden = true;
  }

  #show(span) {
    const token = span && this.tokens.get(span);
    if (!token) return;
    this.#hide();
    this.now = span;
    span.classList.add("now");
    const box = this.at("alternatives"), make = (name, text, kind) => {
      const node = document.createElement(name);
      node.textContent = text;
      node.className = kind;
      return node;
    };
    const head = make("p", this.words.surprise(token.bits.toFixed(1)), ""), list = make("div", "", "");
    for (const [id, share] of token.likeliest) {
      const bar = make("span", "", "bar");
      bar.style.width = `${Math.max(share * 100, 1)}%`;
      list.append(make("span", this.#name(id), id === token.id ? "taken" : ""), bar, make("span", `${(100 * share).toFixed(1)} %`, ""));
    }
    box.replaceChildren(head, list);
    box.hidden = false;
    const place = span.getClientRects()[0] || span.getBoundingClientRect(), left = place.left + window.scrollX;
    box.style.left = `${Math.max(8, Math.min(left, window.scrollX + document.documentElement.clientWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${place.bottom + window.scrollY + 6}px`;
  }

  #name(id) {
    const text = id === END ? this.words.endToken : this.writer.tokenizer.token(id);
    return text === "\n" || text === "<0A>" ? this.words.newline : text === " " || text === "<20>" ? this.words.unseen : text;
  }

  // -- taking texts away -----------------------------------------------------------------------------------------------

  text() {
    const whole = (article) => [...article.children].map((node) => node.textContent).filter(Boolean).join("\n\n");
    return [...this.at("texts").children].map(whole).join("\n\n\n");
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.text());
      this.say(this.words.copied);
    } catch {
      this.say(this.words.notCopied, true);
    }
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.text() + "\n"], { type: "text/plain;charset=utf-8" }));
    link.download = `${this.model.name}.txt`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}

// One text on the page while it is written.
class Shown {
  constructor(page, texts) {
    this.page = page;
    this.article = document.createElement("article");
    this.head = document.createElement("h2");
    this.body = document.createElement("p");
    this.body.className = "text";
    this.body.tabIndex = 0;
    this.article.append(this.head, this.body);
    texts.append(this.article);
    this.waiting = [];
    this.given = true;
  }

  take(event) {
    if (event.done) return;
    if (event.id !== undefined) {
      this.waiting.push(event);
      this.given = false;
    } else if (event.title) {
      this.head.textContent += event.text.replace("\n", "");
      this.waiting = [];
      this.given = true;
    } else if (event.text) this.#add(event.text);
  }

  // One span per token where their texts are plain, else one for all that came together.
  #add(text) {
    const { tokenizer } = this.page.writer, tokens = this.waiting;
    this.waiting = [];
    if (this.given || !tokens.length) return this.#span(text, "given");
    const pieces = tokens.map((token) => tokenizer.decode([token.id]));
    if (pieces.join("") === text) tokens.forEach((token, i) => this.#span(pieces[i], "", token));
    else this.#span(text, "", { ...tokens[tokens.length - 1], bits: tokens.reduce((sum, token) => sum + token.bits, 0) });
  }

  #span(text, kind, token) {
    if (!text) return;
    const span = document.createElement("span");
    span.textContent = text;
    if (kind) span.className = kind;
    if (token) {
      span.style.setProperty("--surprise", Math.min(token.bits / 12, 1) * 0.75);
      this.page.tokens.set(span, token);
    }
    this.body.append(span);
  }

  finish() {
    const { heading } = this.page.writer, title = this.head.textContent;
    this.head.textContent = title.startsWith(heading) ? title.slice(heading.length).trim() : title.trim();
    if (!this.head.textContent) this.head.remove();
  }
}

if (typeof document === "object") {
  const page = new Page();
  globalThis.ostinato = { page, ready: page.open() };
} else globalThis.ostinato = { openWriter, fromBase64, inflated, Tokenizer, Sampler, plainKernels, rowKey, uniform };
