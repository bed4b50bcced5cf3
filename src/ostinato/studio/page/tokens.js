// A text as its tokens: coloured by number, walked with the mouse or the arrow keys. 20,000 tokens stay smooth, for
// what is out of sight is not laid out.

import { h } from "./dom.js";

const BLOCK = 250;

/** A class for bits of surprise: none below half a bit, then six steps up to 12 bits and more. */
export function heat(bits) {
  if (bits === null || bits === undefined) return "h6";
  return bits < 0.5 ? "" : `h${Math.min(6, 1 + Math.floor(bits / 2))}`;
}

/** A class for a number in -1 .. 1: cold below zero, warm above. */
export function diverging(value) {
  const step = Math.min(6, Math.floor(Math.abs(value) * 6.999));
  return step ? `${value < 0 ? "c" : "h"}${step}` : "";
}

export class Tokens {
  /** look(i, element): the reader points at token i (null: no longer). choose(i, element): clicked, or Enter. */
  constructor({ label, look = () => {}, choose = () => {}, paint = () => "" }) {
    this.paint = paint;
    this.all = [];
    this.look = look;
    this.now = -1;
    const at = (event) => Number(event.target.dataset?.i ?? -1);
    this.element = h("div", {
      class: "text tokens", tabindex: "0", role: "group", "aria-label": label,
      onpointerover: (event) => event.pointerType !== "touch" && at(event) >= 0 && this.go(at(event)),
      onpointerleave: () => this.look(null),
      onclick: (event) => {
        if (at(event) < 0) return;
        this.go(at(event));
        choose(at(event), event.target);
      },
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
        if (step && this.all.length) {
          event.preventDefault();
          this.go(Math.max(0, Math.min(this.all.length - 1, this.now + step)), true);
        } else if (event.key === "Enter" && this.now >= 0) choose(this.now, this.token(this.now));
      },
    });
  }

  token(i) {
    return this.element.children[Math.floor(i / BLOCK)]?.children[i % BLOCK] ?? null;
  }

  go(i, scroll = false) {
    this.token(this.now)?.classList.remove("now");
    this.now = i;
    const token = this.token(i);
    token?.classList.add("now");
    if (scroll) token?.scrollIntoView({ block: "nearest" });
    this.look(i, token);
  }

  /** tokens: [{text, ...}]; `paint(token, i)` gives the class of each. */
  add(tokens) {
    for (const token of tokens) {
      const i = this.all.push(token) - 1;
      if (i % BLOCK === 0) this.element.append(h("div", {}));
      const made = document.createElement("i");
      made.textContent = token.text;
      made.dataset.i = i;
      made.className = this.paint(token, i);
      this.element.lastChild.append(made);
    }
  }

  set(tokens) {
    this.element.replaceChildren();
    this.all = [];
    this.now = -1;
    this.add(tokens);
  }

  repaint(paint = this.paint) {
    this.paint = paint;
    this.all.forEach((token, i) => {
      this.token(i).className = paint(token, i) + (i === this.now ? " now" : "");
    });
  }
}
