// The gates of one unit over a text.

import { button, field, h, table } from "../dom.js";
import { post } from "../client.js";
import { Curves } from "../chart.js";
import { fixed } from "../show.js";
import { t } from "../words.js";

export function look(place, model, text, wrong) {
  const unit = h("input", { type: "number", min: 0, value: 0, name: "unit", onchange: read });
  const chart = new Curves({ label: t("look gates"), xLabel: t("token"), yLabel: t("value"), height: 320, at: (i) => tokens[i] ?? i });
  const numbers = h("div", {});
  let turn = 0, tokens = [];

  async function read() {
    const mine = ++turn;
    const found = await wrong.during(() => post("/studio/api/look/gates", { model, text: text.value, unit: Number(unit.value) }));
    if (!found || mine !== turn) return;
    tokens = found.tokens;
    const names = Object.keys(found.series);
    const x = found.tokens.map((_, i) => i);
    await chart.update(names.map((name) => ({ label: name, x, y: found.series[name] })));
    chart.caption.textContent = t(`gates ${found.cell}`);
    numbers.replaceChildren(h("details", {}, h("summary", {}, t("as a table")),
      table(["", t("token"), ...names], found.tokens.slice(0, 400).map((token, i) => [String(i), token, ...names.map((name) => fixed(found.series[name][i], 3))]), t("look gates"))));
  }

  place.append(h("div", { class: "card" },
    h("div", { class: "fields" }, field(t("which unit"), unit)), h("div", { class: "buttons" }, button(t("read"), read, { class: "main" })), chart.element, numbers));
  if (text.value) read();
  return () => chart.close();
}
