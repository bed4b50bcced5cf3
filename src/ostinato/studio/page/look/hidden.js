// Hidden units over a text: a heat map of units × tokens, and the text in the colours of one unit.

import { button, field, h, select } from "../dom.js";
import { post } from "../client.js";
import { colour } from "../chart.js";
import { fixed } from "../show.js";
import { diverging, Tokens } from "../tokens.js";
import { t } from "../words.js";

const CELL = 4;

export function look(place, model, text, wrong) {
  let found = null, values = null, order = [], unit = -1;
  const layer = select([["-1", t("last layer")]], "-1", { onchange: read });
  const follows = select([["", t("as they are")]], "", { onchange: sort });
  const search = h("input", { name: "search", onchange: read });
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": t("look hidden") });
  const tip = h("p", { class: "help map-tip" }, t("hidden help"));
  const best = h("div", { class: "buttons", role: "group", "aria-label": t("units") });
  const title = h("h2", {}, "");
  const view = new Tokens({ label: t("text by unit"), look: (i) => i !== null && found && point(i, unit) });

  async function read() {
    await wrong.during(async () => {
      found = await post("/studio/api/look/hidden", { model, text: text.value, layer: Number(layer.value), search: search.value });
      values = Int8Array.from(atob(found.hidden), (one) => one.charCodeAt(0));
      layer.replaceChildren(h("option", { value: "-1" }, t("last layer")), ...Array.from({ length: found.layers - 1 }, (_, i) => h("option", { value: String(i) }, String(i + 1))));
      layer.value = found.layer === found.layers - 1 ? "-1" : String(found.layer);
      const before = search.value && found.follows.search ? "search" : follows.value;
      follows.replaceChildren(h("option", { value: "" }, t("as they are")), ...Object.keys(found.follows).map((name) => h("option", { value: name }, t(`follows ${name}`))));
      follows.value = before in found.follows ? before : Object.keys(found.follows)[0] ?? "";
      view.set(found.tokens.map((one) => ({ text: one })));
      sort();
    });
  }

  const at = (i, u) => values[i * found.size + u] / 127;

  function sort() {
    if (!found) return;
    const one = found.follows[follows.value];
    order = one ? one.order : Array.from({ length: found.size }, (_, u) => u);
    best.replaceChildren(...order.slice(0, 12).map((u) => button(one ? `${u} (${fixed(one.correlation[u])})` : String(u), () => choose(u), { class: "small unit", dataset: { unit: u } })));
    draw();
    choose(order[0]);
  }

  function choose(u) {
    unit = u;
    for (const one of best.children) one.setAttribute("aria-pressed", String(Number(one.dataset.unit) === u));
    title.textContent = t("unit", { n: u });
    view.repaint((_, i) => diverging(Math.sign(at(i, u)) * Math.sqrt(Math.abs(at(i, u)))));
  }

  function draw() {
    const columns = found.tokens.length, rows = found.size;
    canvas.width = columns;
    canvas.height = rows;
    canvas.style.width = "100%";
    canvas.style.maxWidth = "none";
    canvas.style.minWidth = `${columns * CELL}px`;
    canvas.style.height = `${Math.min(rows * CELL, 420)}px`;
    canvas.style.imageRendering = "pixelated";
    const ink = ["--card", "--heat", "--cold"].map((name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number));
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let row = 0, place_ = 0; row < rows; row++) {
      for (let i = 0; i < columns; i++, place_ += 4) {
        const value = at(i, order[row]);
        const to = ink[value < 0 ? 2 : 1], share = Math.sqrt(Math.abs(value));
        for (let c = 0; c < 3; c++) image.data[place_ + c] = ink[0][c] + (to[c] - ink[0][c]) * share;
        image.data[place_ + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `${t("look hidden")}: ${rows} × ${columns}`);
  }

  function point(i, u) {
    tip.textContent = `${t("unit", { n: u })}, “${found.tokens[i]}”: ${fixed(at(i, u) * found.scale)}`;
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * found.tokens.length);
    const row = Math.floor(((event.clientY - box.top) / box.height) * found.size);
    return [Math.max(0, Math.min(found.tokens.length - 1, i)), order[Math.max(0, Math.min(found.size - 1, row))]];
  }
  canvas.addEventListener("pointermove", (event) => found && point(...under(event)));
  canvas.addEventListener("click", (event) => found && choose(under(event)[1]));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !found) return;
    event.preventDefault();
    choose(order[Math.max(0, Math.min(found.size - 1, order.indexOf(unit) + step))]);
  });

  place.append(h("div", { class: "halves" }, h("div", { class: "card" },
    h("div", { class: "fields" }, field(t("sort by"), follows), field(t("search for"), search), field(t("layer"), layer)),
    h("div", { class: "buttons" }, button(t("read"), read, { class: "main" })),
    h("div", { class: "scrolls" }, canvas), tip, best),
  h("div", { class: "card" }, title, view.element)));
  if (text.value) read();
}
