// Line by line: the model proposes, the writer keeps, edits, asks again, takes back.

import { button, fill, h, say } from "./dom.js";
import { post } from "./client.js";
import { keepButton } from "./kept.js";
import { trouble } from "./show.js";
import { said } from "./said.js";
import { t } from "./words.js";

export function lineByLine(model, options) {
  const wrong = trouble();
  const kept = h("textarea", { rows: 12, class: "text", "aria-label": t("your text") });
  const proposals = h("div", {});
  const past = [];
  let row = 0;
  const lines = () => (kept.value === "" ? [] : kept.value.replace(/\n$/, "").split("\n"));

  const propose = (next) => wrong.during(async () => {
    row = next;
    proposals.replaceChildren(h("p", { class: "quiet" }, t("thinking")));
    try {
      const { temperature, seed, title, form } = options.body();
      const found = await post("/studio/api/suggest", {
        model, lines: lines(), count: 6, row, temperature, search: options.form.search(), ...(seed && { seed }), ...(title && { title }), ...(form && { form }),
      });
      fill(proposals,
        found.wanted.length > 0 && h("p", { class: "help" }, t("still wanted", { words: found.wanted.join(" ") })),
        ...found.notes.map((one) => h("p", { class: "help" }, said(one))),
        found.complete ? h("p", {}, t("form complete")) : found.lines.map((line) => proposal(line, found.ends_stanza)));
    } catch (error) {
      proposals.replaceChildren();
      throw error;
    }
  });

  function proposal(line, endsStanza) {
    const input = h("input", { value: line, "aria-label": t("proposed line"), class: "text" });
    return h("div", { class: "buttons proposal" }, button(t("keep"), () => {
      past.push(kept.value);
      kept.value = [...lines(), input.value, ...(endsStanza ? [""] : [])].join("\n") + "\n";
      kept.scrollTop = kept.scrollHeight;
      say(t("kept line", { line: input.value }));
      propose(0);
    }, { class: "small" }), h("div", { class: "grows" }, input));
  }

  return h("div", { class: "halves" },
    h("section", { class: "card" }, h("h2", {}, t("your text")), kept,
      h("div", { class: "buttons" }, button(t("undo"), () => past.length && ((kept.value = past.pop()), propose(0))),
        button(t("copy"), async () => (await navigator.clipboard.writeText(kept.value), say(t("copied")))), keepButton(() => ({ text: kept.value, model })))),
    h("section", { class: "card" }, h("h2", {}, t("next line")), h("p", { class: "help" }, t("line by line help")), wrong.line, proposals,
      h("div", { class: "buttons" }, button(t("propose"), () => propose(0), { class: "main" }), button(t("ask again"), () => propose(row + 1)))));
}
