// How numbers, sizes, times and models are shown.

import { h } from "./dom.js";
import { language, t } from "./words.js";

export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString(language()));
export const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`);

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let i = 0;
  for (; value >= 1000 && i < 3; i++) value /= 1000;
  return `${value.toFixed(i && value < 10 ? 1 : 0)} ${units[i]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
}

export const date = (seconds) => new Date(seconds * 1000).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });

export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export const figures = (pairs) => h("div", { class: "figures" }, pairs.map(([name, value]) => h("div", {}, h("b", {}, value), h("span", {}, name))));

export const state = (run) => h("span", { class: `state ${run.state === "running" || run.state === "starting" ? "training" : ""}` }, t(`state ${run.state}`));

/** A line that says what went wrong; empty while all is well. */
export function trouble() {
  const line = h("p", { class: "wrong", role: "alert", hidden: true });
  return {
    line,
    async during(act) {
      line.hidden = true;
      try {
        return await act();
      } catch (error) {
        if (error.name === "AbortError") return undefined;
        line.textContent = error.message;
        line.hidden = false;
        return undefined;
      }
    },
  };
}
