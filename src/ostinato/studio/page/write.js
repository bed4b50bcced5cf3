// Write: a request, and texts that stream in, coloured by surprise. A click on a token takes another one and goes on.

import { button, field, fill, h, say, slider } from "./dom.js";
import { post, stream } from "./client.js";
import { alternatives } from "./alternatives.js";
import { formFields } from "./form.js";
import { fixed, trouble } from "./show.js";
import { kept, keepButton } from "./kept.js";
import { lineByLine } from "./lines.js";
import { modelOf } from "./model.js";
import { go } from "./main.js";
import { heat, Tokens } from "./tokens.js";
import { said } from "./said.js";
import { t } from "./words.js";

export function view(main, [name]) {
  const { model, which } = modelOf(main, "write", name);
  if (!model) return undefined;
  const results = h("div", { class: "halves" });
  const state = { model, running: null };
  const wrong = trouble();
  const options = request(model, (body) => wrong.during(() => writing(state, body, results, begin, stop)));
  const begin = button(t("write"), () => options.submit(), { class: "main", name: "begin" });
  const stop = button(t("stop"), () => state.running?.abort(), { disabled: true });
  const buttons = h("div", { class: "buttons" }, begin, stop);
  const whole = h("div", {}, key(), results);
  const lines = lineByLine(model, options);
  const show = (one) => {
    [whole.hidden, buttons.hidden, lines.hidden] = [one !== whole, one !== whole, one !== lines];
    for (const [i, mode] of [whole, lines].entries()) modes.children[i].setAttribute("aria-pressed", String(mode === one));
  };
  const modes = h("div", { class: "buttons" }, button(t("whole texts"), () => show(whole)), button(t("line by line"), () => show(lines)));
  show(whole);
  main.append(modes, h("div", { class: "columns" },
    h("form", { class: "card options", onsubmit: (event) => (event.preventDefault(), options.submit()) }, field(t("model"), which), options.parts, buttons, wrong.line),
    h("div", {}, whole, lines, kept(results))));
  return { close: () => state.running?.abort() };
}

const key = () => h("p", { class: "key" }, t("surprise"), ": ", [1, 2, 3, 4, 5, 6].map((step) => h("i", { class: `h${step}` })), ` 0.5 … 10+ ${t("bits")}`, h("span", {}, ` · ${t("click a token")}`));

/** The controls of a request; `submit` calls `write` with its body. */
function request(model, write) {
  const prompt = h("textarea", { rows: 3, name: "prompt" });
  const title = h("input", { name: "title", maxlength: 200 });
  const lines = h("input", { type: "number", min: 1, max: 1000, value: 8, name: "lines" });
  const tokens = h("input", { type: "number", min: 1, max: 4096, placeholder: "–", name: "tokens" });
  const count = h("input", { type: "number", min: 1, max: 16, value: 1, name: "count" });
  const seed = h("input", { type: "number", min: 0, step: 1, placeholder: t("random"), name: "seed" });
  const temperature = slider(t("temperature"), { min: 0, max: 2, step: 0.05, value: 0.8, name: "temperature", show: (v) => v.toFixed(2) });
  const topP = slider("top-p", { min: 0.05, max: 1, step: 0.01, value: 1, name: "top_p", show: (v) => v.toFixed(2) });
  const minP = slider("min-p", { min: 0, max: 0.5, step: 0.01, value: 0, name: "min_p", show: (v) => v.toFixed(2) });
  const repetition = slider(t("repetition"), { min: 1, max: 2, step: 0.05, value: 1, name: "repetition_penalty", show: (v) => v.toFixed(2) });
  const form = formFields(model);
  const body = (more = {}) => {
    const shape = form.value();
    return {
      model, prompt: prompt.value, temperature: Number(temperature.input.value), top_p: Number(topP.input.value), min_p: Number(minP.input.value),
      repetition_penalty: Number(repetition.input.value), count: Number(count.value) || 1, top: 8,
      ...(title.value && { title: title.value }), ...(seed.value && { seed: Number(seed.value) }),
      ...(tokens.value && { tokens: Number(tokens.value) }),
      ...(shape && { search: form.search() }),
      ...(shape ? { form: { ...shape, ...(lines.value && !shape.template && { lines: Number(lines.value) }) } } : lines.value && { lines: Number(lines.value) }),
      ...more,
    };
  };
  return {
    body, form, prompt,
    submit: () => write(body()),
    parts: [
      field(t("prompt"), prompt), h("div", { class: "fields" }, field(t("lines"), lines), field(t("texts at once"), count), field(t("seed"), seed)),
      temperature.field,
      h("details", {}, h("summary", {}, t("more")), topP.field, minP.field, repetition.field, h("div", { class: "fields" }, field(t("most tokens"), tokens), field(t("title"), title))),
      form.element,
    ],
  };
}

async function writing(state, body, results, begin, stop) {
  state.running?.abort();
  const running = (state.running = new AbortController());
  [begin.disabled, stop.disabled] = [true, false];
  const texts = Array.from({ length: body.count }, () => new Written(state, body, (more) => writing(state, { ...body, count: 1, ...more }, results, begin, stop)));
  if (body.from) body.from.replace(texts[0]);
  else results.replaceChildren(...texts.map((one) => one.element));
  try {
    const { from, ...sent } = body;
    for await (const event of stream("/studio/api/write", sent, running.signal)) {
      if (event.seed !== undefined) texts.forEach((one) => (one.seed = event.seed));
      else texts[event.index].take(event);
    }
    say(t("written"));
  } catch (error) {
    if (error.name !== "AbortError") {
      texts.forEach((one) => one.fail(error.message));
      say(error.message);
    }
  } finally {
    if (state.running === running) [begin.disabled, stop.disabled] = [false, true];
  }
}

/** One text as it comes: its title, its tokens, where it copies, and what it was before a branch. */
class Written {
  constructor(state, body, write) {
    Object.assign(this, { state, body, write, text: "", seed: null, spans: [], past: body.from?.history() ?? [] });
    this.title = h("h2", { hidden: true });
    this.foot = h("p", { class: "help" });
    this.tokens = new Tokens({
      label: t("written text"),
      paint: (token) => `${token.prompt ? "given" : heat(token.bits)}${this.copied(token) ? " copy" : ""}`,
      look: (i) => fill(this.foot, this.describe(i)),
      choose: (i, element) => alternatives(this.tokens.all[i], element, (other) => this.branch(i, other)),
    });
    this.buttons = h("div", { class: "buttons" });
    this.element = h("article", { class: "card" }, this.title, this.tokens.element, this.foot, this.buttons);
  }

  take(event) {
    if (event.tokens && Array.isArray(event.tokens)) this.tokens.add(event.tokens);
    else if (event.piece !== undefined) {
      this.title.hidden = false;
      this.title.textContent += event.piece;
    } else if (event.text !== undefined) this.finish(event);
  }

  async finish({ text, title, tokens, reason, notes = [] }) {
    this.text = text;
    if (title) {
      this.title.textContent = title;
      this.title.hidden = false;
    }
    this.end = `${tokens} ${t("tokens")}, ${t("ended by")}: ${reason}${this.seed === null ? "" : `, ${t("seed")} ${this.seed}`}${notes.map((one) => `. ${said(one)}`).join("")}`;
    this.foot.textContent = this.end;
    this.buttons.append(
      button(t("copy"), async () => (await navigator.clipboard.writeText(this.text), say(t("copied"))), { class: "small" }),
      keepButton(() => ({ text: this.text, title: this.title.textContent, model: this.body.model, seed: this.seed })),
      ...(this.past.length ? [button(t("undo"), () => this.replace(this.past.at(-1)), { class: "small" })] : []),
      button(t("look"), () => (sessionStorage.look = this.text, go("look", this.body.model)), { class: "small" }));
    try {
      const { copies } = await post("/studio/api/copies", { model: this.body.model, text, tokens: 8 });
      this.spans = copies;
      this.tokens.repaint();
    } catch {
      // no training text: nothing to underline
    }
  }

  fail(message) {
    this.foot.className = "wrong";
    this.foot.textContent = message;
  }

  copied(token) {
    return this.spans.find((span) => token.start >= span.start && token.end <= span.end);
  }

  describe(i) {
    if (i === null) return [this.end ?? ""];
    const token = this.tokens.all[i];
    const span = this.copied(token);
    return [
      `“${token.text}” ${token.bits === null ? "" : `${fixed(token.bits)} ${t("bits")}, ${t("rank", { n: token.rank })}`}`,
      span && h("span", {}, ` · ${t("stands in", { tokens: span.tokens, title: span.title })}: …${span.before}`, h("b", {}, [...this.text].slice(span.start, span.end).join("")), `${span.after}…`),
    ];
  }

  history() {
    return [...this.past, this];
  }

  replace(other) {
    this.element.replaceWith(other.element);
  }

  branch(i, other) {
    const given = this.tokens.all.slice(0, i).map((token) => token.text).join("") + other.text;
    const title = this.title.textContent;
    this.write({ prompt: given, from: this, ...(title && { title }) });
  }
}

