// The form a text keeps to: rhyme, lengths, acrostic, words, blanks.

import { check, field, h, select } from "./dom.js";
import { get } from "./client.js";
import { language as pageLanguage, t } from "./words.js";

const words = (text) => text.split(/[\s,，、]+/).filter(Boolean);

/** The controls; `value()` is the form of a request, or null where nothing is asked for. */
export function formFields(model) {
  const input = (name, properties = {}) => h("input", { name, autocomplete: "off", ...properties });
  const language = select([["", t("by the model")], ["zh", "中文"], ["en", "English"]], "", { name: "language" });
  const stanzas = input("stanzas", { type: "number", min: 1, max: 1000, placeholder: "1" });
  const length = input("length", { placeholder: "7   5-9   7,7,5,5" });
  const rhyme = input("rhyme", { placeholder: "AABA   ABAB   A=ang" });
  const scheme = select([["13", t("13 rhymes")], ["18", t("18 rhymes")]], "13", { name: "scheme", onchange: () => list.open && load() });
  const acrostic = input("acrostic");
  const acrosticEnd = input("acrostic_end");
  const include = input("include");
  const ban = input("ban");
  const template = h("textarea", { name: "template", rows: 3, placeholder: t("template example") });
  const tones = check(t("same tone"), false, { name: "tones" });
  const repeat = check(t("lines may repeat"), false, { name: "repeat" });
  const beam = check(t("search for the likeliest"), false, { name: "search" });
  const sounds = h("div", { class: "buttons" });

  async function load() {
    try {
      const found = await get(`/studio/api/sounds?${new URLSearchParams({ language: language.value || (await guess()), scheme: scheme.value, model })}`);
      sounds.replaceChildren(...found.sounds.slice(0, 40).map(({ sound, examples, lines }) =>
        h("button", { type: "button", class: "small", title: t("lines end so", { n: lines }), onclick: () => put(sound) }, `${sound} (${examples.slice(0, 3).join(" ")})`)));
    } catch (error) {
      sounds.replaceChildren(h("span", { class: "wrong" }, error.message));
    }
  }
  /** The language of what the model wrote last; the page's where it wrote nothing. */
  async function guess() {
    const { samples, names } = await get(`/studio/api/runs/${encodeURIComponent(model)}`).catch(() => ({ samples: [], names: [] }));
    const seen = samples.at(-1)?.text ?? names?.join(" ") ?? "";
    return /[\u4e00-\u9fff]|zh/.test(seen) || (!seen && pageLanguage() === "zh") ? "zh" : "en";
  }
  function put(sound) {
    const letter = /[A-Z]/.exec(rhyme.value.split(",")[0])?.[0];
    rhyme.value = letter ? `${rhyme.value.split(",").filter((part) => !part.startsWith(`${letter}=`)).join(",")},${letter}=${sound}` : sound;
    rhyme.focus();
  }
  language.addEventListener("change", () => list.open && load());
  const list = h("details", { ontoggle: () => list.open && load() }, h("summary", {}, t("sounds to choose from")), sounds);

  const element = h("details", { name: "form" }, h("summary", {}, t("form")),
    h("div", { class: "fields" }, field(t("rhyme"), rhyme), field(t("line length"), length), field(t("stanzas"), stanzas), field(t("language"), language)),
    list,
    h("div", { class: "fields" }, field(t("acrostic"), acrostic), field(t("acrostic end"), acrosticEnd), field(t("with words"), include), field(t("without words"), ban)),
    field(t("template"), template), h("div", { class: "fields" }, field(t("Chinese rhymes"), scheme)), tones.label, repeat.label, beam.label);

  function value() {
    const shape = {
      ...(rhyme.value.trim() && { rhyme: rhyme.value.trim() }), ...(length.value.trim() && { length: length.value.trim() }),
      ...(stanzas.value && { stanzas: Number(stanzas.value) }), ...(acrostic.value.trim() && { acrostic: acrostic.value.trim() }),
      ...(acrosticEnd.value.trim() && { acrostic_end: acrosticEnd.value.trim() }),
      ...(include.value.trim() && { include: words(include.value) }), ...(ban.value.trim() && { ban: words(ban.value) }),
      ...(template.value.trim() && { template: template.value }),
    };
    if (!Object.keys(shape).length) return null;
    return {
      ...shape, ...(language.value && { language: language.value }), ...(scheme.value === "18" && { scheme: "18" }),
      ...(tones.input.checked && { tones: true }), ...(repeat.input.checked && { repeat: true }),
    };
  }
  return { element, value, search: () => (beam.input.checked ? "beam" : "sample") };
}
