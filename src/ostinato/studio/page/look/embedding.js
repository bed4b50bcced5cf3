// Nearest neighbours of a token, and a map of the tokens.

import { button, field, h, table } from "../dom.js";
import { get } from "../client.js";
import { fixed, percent } from "../show.js";
import { shown } from "../alternatives.js";
import { colour } from "../chart.js";
import { t } from "../words.js";

const SIZE = 640;

export function look(place, model, _, wrong) {
  const token = h("input", { name: "token", onchange: () => near(token.value) });
  const list = h("div", {});
  const canvas = h("canvas", { role: "img", "aria-label": t("map") });
  const said = h("p", { class: "help" }, t("map help"));
  let points = [];

  const near = (one) => wrong.during(async () => {
    if (!one) return;
    const found = await get(`/studio/api/look/neighbours?${new URLSearchParams({ model, token: one, k: 15 })}`);
    token.value = found.token;
    list.replaceChildren(table([t("token"), t("similarity")], found.neighbours.map((other) =>
      [button(shown(other), () => near(other.text), { class: "small" }), fixed(other.similarity, 3)]), t("neighbours")));
    draw(new Set([found.id, ...found.neighbours.map((other) => other.id)]));
  });

  const where = ({ x, y }) => [SIZE * (0.5 + 0.47 * x), SIZE * (0.5 - 0.47 * y)];

  function draw(marked = new Set()) {
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.height = SIZE * scale;
    canvas.style.width = `${SIZE}px`;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [ink, quiet, accent] = ["--ink", "--quiet", "--accent"].map(colour);
    for (const point of [...points].reverse()) {
      const here = marked.has(point.id);
      context.font = `${here ? "700 15" : "12"}px system-ui, sans-serif`;
      context.fillStyle = here ? accent : marked.size ? quiet : ink;
      context.fillText(shown(point), ...where(point));
    }
  }

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
    let best = null, nearest = 400;
    for (const point of points) {
      const [px, py] = where(point);
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away < nearest) [best, nearest] = [point, away];
    }
    if (best) near(best.text);
  });

  place.append(h("div", { class: "columns" },
    h("div", { class: "card" }, field(t("token"), token, t("token help")), h("div", { class: "buttons" }, button(t("neighbours"), () => near(token.value), { class: "main" })), list),
    h("div", { class: "card" }, h("h2", {}, t("map")), said, h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": t("map") }, canvas))));
  wrong.during(async () => {
    const found = await get(`/studio/api/look/map?${new URLSearchParams({ model, most: 300 })}`);
    points = found.points;
    said.textContent = `${t("map help")} ${t("explained", { share: percent(found.explained.reduce((a, b) => a + b, 0)) })}`;
    draw();
    await near(points.find((point) => /\p{L}/u.test(point.text))?.text ?? "");
  });
}
