// Models and n-grams on the same held-out text; two models' surprise at the same text.

import { ask, button, check, field, h, select, table } from "./dom.js";
import { post, send } from "./client.js";
import { bytes, date, duration, fixed, state as stateOf, trouble, whole } from "./show.js";
import { models, run, store, watch } from "./store.js";
import { diverging, Tokens } from "./tokens.js";
import { said as inWords } from "./said.js";
import { t } from "./words.js";

export function view(main) {
  const wrong = trouble();
  const list = h("div", {});
  const opened = new Set(store.comparisons.slice(0, 1).map((one) => one.name));
  const update = (part) => part === "comparisons" && list.replaceChildren(...store.comparisons.map((one) => comparison(one, opened, wrong)));
  main.append(h("h1", {}, t("compare")), wrong.line,
    h("div", { class: "columns" }, h("section", { class: "card" }, h("h2", {}, t("new comparison")), beginning(opened, wrong)), list),
    difference());
  update("comparisons");
  return { close: watch(update) };
}

function beginning(opened, wrong) {
  if (!store.texts.length) return h("p", { class: "quiet" }, t("no texts"));
  const text = select(store.texts.map((one) => [one.name, one.name]), store.texts[0].name, { name: "text", onchange: offer });
  const place = h("fieldset", {}, h("legend", {}, t("models")));
  const order = h("input", { type: "number", min: 1, max: 9, value: 5, name: "order" });
  const minutes = h("input", { type: "number", min: 0, step: "any", value: 0, name: "minutes" });
  let checks = [];
  function offer() {
    checks = models().map((name) => ({ name, ...check(name, run(name)?.text === text.value) }));
    place.replaceChildren(h("legend", {}, t("models")), ...(checks.length ? checks.map((one) => one.label) : [h("p", { class: "quiet" }, t("no models"))]));
  }
  offer();
  const begin = button(t("compare"), () => wrong.during(async () => {
    begin.disabled = true;
    try {
      const made = await post("/studio/api/comparisons", {
        text: text.value, models: checks.filter((one) => one.input.checked).map((one) => one.name), order: Number(order.value), minutes: Number(minutes.value) || 0 });
      opened.add(made.name);
    } finally {
      begin.disabled = false;
    }
  }), { class: "main" });
  return h("form", { onsubmit: (event) => event.preventDefault() }, field(t("text"), text), place,
    h("div", { class: "fields" }, field(t("n-grams up to"), order), field(t("minutes for a network"), minutes)), h("div", { class: "buttons" }, begin));
}

function comparison(one, opened, wrong) {
  const at = `/studio/api/comparisons/${encodeURIComponent(one.name)}`;
  const busy = one.state === "running" || one.state === "stopping";
  const element = h("details", { class: "card", open: opened.has(one.name), ontoggle: () => opened[element.open ? "add" : "delete"](one.name) },
    h("summary", {}, one.name, " ", stateOf(one), h("span", { class: "quiet" }, ` ${date(one.created)}`)),
    one.message && h("p", { class: "wrong" }, inWords(one.message)),
    busy && h("pre", { class: "help" }, (one.log ?? []).join("\n")),
    (one.table ?? []).map((part) => [measured(part), part.notes.map((note) => h("p", { class: "help" }, inWords(note)))]),
    one.picture && h("figure", {}, h("img", { src: `${at}/picture.svg`, alt: t("picture of", { name: one.name }), loading: "lazy", class: "picture" })),
    h("div", { class: "buttons" },
      busy && button(t("stop"), () => wrong.during(() => post(`${at}/stop`, {}))),
      !busy && button(t("delete"), () => wrong.during(async () => {
        if (await ask(t("delete comparison?", { name: one.name }), t("delete"), t("cancel"))) await send("DELETE", at);
      }))));
  return element;
}

function measured({ rows, tokenizer, vocabulary, characters }) {
  const best = Math.min(...rows.filter((row) => row.group !== "adapting").map((row) => row.bits_per_character ?? Infinity));
  return h("div", {}, h("p", { class: "help" }, t("measured on", { characters: whole(characters), tokenizer: t(`tokenizer ${tokenizer}`), vocabulary: whole(vocabulary) })),
    table([t("model"), t("bits per character"), t("perplexity"), t("parameters"), t("size"), t("trained for"), t("tokens per second")],
      rows.map((row) => [row.group === "adapting" ? `${row.model} *` : row.model, row.bits_per_character === best ? h("b", {}, fixed(row.bits_per_character, 3)) : fixed(row.bits_per_character, 3),
        fixed(row.perplexity), whole(row.parameters), bytes(row.bytes), duration(row.training_seconds), whole(row.tokens_per_second)]), t("compare")),
    rows.some((row) => row.group === "adapting") && h("p", { class: "help" }, t("adapting help")));
}

// -- two models ----------------------------------------------------------------------------------------------------

function difference() {
  const known = models();
  if (known.length < 2) return h("section", { class: "card" }, h("h2", {}, t("two models")), h("p", { class: "quiet" }, t("needs two models")));
  const wrong = trouble();
  const first = select(known.map((one) => [one, one]), known[0], { name: "first" });
  const second = select(known.map((one) => [one, one]), known[1], { name: "second" });
  const text = h("textarea", { rows: 4, value: sessionStorage.look ?? "", name: "difference" });
  const said = h("p", {});
  const foot = h("p", { class: "help" }, t("difference help"));
  const tokens = new Tokens({ label: t("two models"), paint: ({ a, b }) => diverging((a - b) / 6), look: (i) => {
    if (i === null) return;
    const { text: one, a, b } = tokens.all[i];
    foot.textContent = `“${one}” ${first.value}: ${fixed(a)}, ${second.value}: ${fixed(b)} ${t("bits")}`;
  } });
  const measure = () => wrong.during(async () => {
    const found = await post("/studio/api/look/difference", { models: [first.value, second.value], text: text.value });
    tokens.set([...found.text].map((one, i) => ({ text: one, a: found.a[i], b: found.b[i] })));
    said.textContent = `${first.value}: ${fixed(found.totals.a, 3)}, ${second.value}: ${fixed(found.totals.b, 3)} ${t("bits per character")}`;
  });
  return h("section", { class: "card" }, h("h2", {}, t("two models")), h("div", { class: "fields" }, field(t("first"), first), field(t("second"), second)), field(t("text"), text),
    h("div", { class: "buttons" }, button(t("measure"), measure, { class: "main" })), wrong.line, said, tokens.element, foot);
}

