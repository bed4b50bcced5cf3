// What else could have stood there, with probabilities, in a small box beside the token.

import { h } from "./dom.js";
import { percent } from "./show.js";
import { t } from "./words.js";

let box = null;

export function close() {
  box?.remove();
  box = null;
}

addEventListener("keydown", (event) => event.key === "Escape" && close());
addEventListener("hashchange", close);
addEventListener("pointerdown", (event) => box && !box.contains(event.target) && close());

/** Show the alternatives of `token` beside `element`; `take(other)` is called with the one that is chosen. */
export function alternatives(token, element, take) {
  close();
  if (!token.top?.length) return;
  const back = document.activeElement;
  const choose = (other) => {
    close();
    back?.focus?.();
    take(other);
  };
  box = h("div", { class: "beside", role: "dialog", "aria-label": t("alternatives") },
    h("div", { class: "quiet" }, t("alternatives")),
    h("ol", {}, token.top.map((other) => h("li", {},
      h("button", { type: "button", class: other.id === token.id ? "taken" : "", disabled: other.text === "" || other.byte !== undefined, onclick: () => choose(other) },
        h("span", {}, shown(other)), h("span", { class: "bar", variables: { "--share": other.probability } }), h("span", {}, percent(other.probability)))))));
  document.body.append(box);
  const place = element.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - box.offsetWidth - 16)) + scrollX}px`;
  box.style.top = `${place.bottom + scrollY + 4}px`;
  box.querySelector("button:not(:disabled)")?.focus({ preventScroll: true });
}

export function shown({ text, end, byte }) {
  if (end) return t("end of text");
  if (byte !== undefined) return `0x${byte.toString(16)}`;
  return { "\n": "⏎", " ": "␣", "\t": "⇥" }[text] ?? text;
}
