// A new run: recipe and minutes first, everything else behind one click.

import { button, field, h, put, select } from "./dom.js";
import { post } from "./client.js";
import { meaning } from "./settings.js";
import { trouble } from "./show.js";
import { models, settings, store } from "./store.js";
import { go } from "./main.js";
import { t } from "./words.js";

export function view(main, [name]) {
  const wrong = trouble();
  const place = h("form", { class: "card", onsubmit: (event) => event.preventDefault() });
  main.append(h("h1", {}, t("new run")), wrong.line, place);
  if (!store.texts.length) {
    place.append(h("p", {}, t("no texts"), " ", h("a", { href: "#/" }, t("home"))));
    return;
  }
  wrong.during(async () => put(place, form(await settings(), name, wrong)));
}

function form({ sections, recipes }, name, wrong) {
  const text = select(store.texts.map((one) => [one.name, one.name]), name, { name: "text" });
  const called = h("input", { placeholder: t("by the text's name"), maxlength: 80, name: "name" });
  const recipe = select(recipes.map((one) => [one.name, one.name]), "default", { name: "recipe", onchange: () => fill() });
  const minutes = h("input", { type: "number", min: 0.1, max: 100000, step: "any", value: 3, name: "minutes" });
  const starts = [["auto", t("start auto")], ["none", t("start none")], ...[...store.state.bases, ...models()].map((one) => [one, one])];
  const start = select(starts, "auto", { name: "start" });
  const seed = h("input", { type: "number", min: 0, step: 1, placeholder: "1", name: "seed" });
  const controls = new Map();
  const base = () => recipes.find((one) => one.name === recipe.value).values;

  function fill() {
    for (const [key, { control }] of controls) control.value = String(base()[key] ?? "");
  }

  const all = sections.map((section) => h("fieldset", {}, h("legend", {}, `[${section.name}] ${meaning(section.name, section.help)}`),
    h("div", { class: "fields" }, section.fields.map((setting) => {
      const control = controlFor(setting);
      controls.set(setting.key, { setting, control });
      return field(setting.name, control, meaning(setting.key, setting.help));
    }))));
  fill();

  const begin = button(t("train"), () => wrong.during(async () => {
    begin.disabled = true;
    try {
      const changed = {};
      for (const [key, { setting, control }] of controls) {
        if (control.value !== String(base()[key] ?? "")) changed[key] = valueOf(setting, control.value);
      }
      const run = await post("/studio/api/runs", {
        text: text.value, recipe: recipe.value, start: start.value, settings: changed,
        ...(minutes.value && { minutes: Number(minutes.value) }), ...(called.value && { name: called.value }), ...(seed.value && { seed: Number(seed.value) }),
      });
      go("run", run.name);
    } finally {
      begin.disabled = false;
    }
  }), { class: "main", disabled: !store.state.extras.train });

  return [
    h("div", { class: "fields" }, field(t("text"), text), field(t("minutes"), minutes, t("minutes help")), field(t("recipe"), recipe, t("recipe help")),
      field(t("start from"), start, t("start help")), field(t("name"), called)),
    h("div", { class: "buttons" }, begin),
    !store.state.extras.train && h("p", { class: "wrong" }, t("needs train")),
    h("details", {}, h("summary", {}, t("all settings")), field(t("seed"), seed, t("seed help")), h("p", { class: "help" }, t("auto help")), all),
  ];
}

function controlFor({ key, type, choices, low, high, auto }) {
  const properties = { name: key, autocomplete: "off" };
  const values = type === "boolean" ? ["true", "false"] : choices;
  if (values) return select([...(auto && !values.includes("auto") ? ["auto"] : []), ...values].map((one) => [one, one]), values[0], properties);
  if (type === "text") return h("input", properties);
  const range = low === null ? "" : high === null ? `≥ ${low}` : `${low} … ${high}`;
  if (auto) return h("input", { ...properties, inputmode: "decimal", title: range, placeholder: "auto" });
  return h("input", { ...properties, type: "number", min: low, max: high, step: type === "integer" ? 1 : "any", title: range });
}

function valueOf({ type, auto }, value) {
  if (auto && (value === "auto" || value === "")) return "auto";
  if (type === "boolean") return value === "true";
  if (type !== "integer" && type !== "number") return value;
  return value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value);
}
