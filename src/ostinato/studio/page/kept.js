// Writings that are kept in the folder.

import { ask, askText, button, h, say } from "./dom.js";
import { get, send } from "./client.js";
import { date, trouble } from "./show.js";
import { t } from "./words.js";

const at = (name) => `/studio/api/writings/${encodeURIComponent(name)}`;
let refresh = () => {};

/** A button that keeps what `text()` gives under a name. */
export function keepButton(text) {
  const wrong = trouble();
  return h("span", {}, button(t("keep"), () => wrong.during(async () => {
    const given = text();
    const first = given.title || given.text.split("\n").find((line) => line.trim()) || t("untitled");
    const name = await askText(t("name"), [...first.replace(/[/\\:*?"<>|]/g, " ").trim()].slice(0, 40).join(""), t("keep"), t("cancel"));
    if (!name) return;
    await send("PUT", at(name), given);
    say(t("kept as", { name }));
    refresh();
  }), { class: "small" }), wrong.line);
}

/** The list of kept writings; one that is chosen opens above `place`. */
export function kept(place) {
  const wrong = trouble();
  const list = h("div", {});
  const element = h("details", { class: "card", ontoggle: () => element.open && load() }, h("summary", {}, t("kept writings")), wrong.line, list);
  const load = () => wrong.during(async () => {
    const { writings } = await get("/studio/api/writings");
    list.replaceChildren(...(writings.length ? writings.map(line) : [h("p", { class: "quiet" }, t("nothing kept"))]));
  });
  refresh = () => element.isConnected && load();
  function line({ name, modified }) {
    return h("p", {}, button(name, () => wrong.during(async () => {
      const one = await get(at(name));
      place.prepend(h("article", { class: "card" }, h("h2", {}, name), h("p", { class: "text" }, one.text), one.model && h("p", { class: "help" }, one.model)));
    }), { class: "small" }), h("span", { class: "quiet" }, ` ${date(modified)} `),
    button(t("delete"), () => wrong.during(async () => {
      if (!(await ask(t("delete writing?", { name }), t("delete"), t("cancel")))) return;
      await send("DELETE", at(name));
      load();
    }), { class: "small", "aria-label": `${t("delete")}: ${name}` }));
  }
  return element;
}
