// How far back a loss's gradient reaches.

import { button, field, h } from "../dom.js";
import { post } from "../client.js";
import { Curves } from "../chart.js";
import { run } from "../store.js";
import { t } from "../words.js";

export function look(place, model, _, wrong) {
  const distance = h("input", { type: "number", min: 2, max: 500, value: 60, onchange: read });
  const chart = new Curves({ label: t("look gradients"), xLabel: t("tokens back"), yLabel: t("gradient"), height: 340, logarithmic: true });
  let timer = 0, closed = false;

  async function read() {
    clearTimeout(timer);
    const found = await wrong.during(() => post("/studio/api/look/gradients", { model, distance: Number(distance.value) }));
    if (!found || closed) return;
    await chart.update(found.curves.map(({ name, cell, trained, norms }) => ({
      label: trained ? name : `${cell.toUpperCase()} (${t("untrained")})`, x: found.distances, y: norms.map((norm) => norm || null), dash: !trained })));
    if (run(model)?.state === "running") timer = setTimeout(read, 5000);
  }

  place.append(h("div", { class: "card" }, h("p", {}, t("gradients help")), h("div", { class: "fields" }, field(t("tokens back"), distance)),
    h("div", { class: "buttons" }, button(t("measure"), read, { class: "main" })), chart.element));
  read();
  return () => {
    closed = true;
    clearTimeout(timer);
    chart.close();
  };
}
