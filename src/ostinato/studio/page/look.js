// Look inside a model: surprise, hidden units, gates, gradients, embedding.

import { button, field, h } from "./dom.js";
import { get } from "./client.js";
import { trouble } from "./show.js";
import { modelOf } from "./model.js";
import { run } from "./store.js";
import { t } from "./words.js";

const TABS = {
  surprisal: () => import("./look/surprisal.js"),
  hidden: () => import("./look/hidden.js"),
  gates: () => import("./look/gates.js"),
  gradients: () => import("./look/gradients.js"),
  embedding: () => import("./look/embedding.js"),
};
let remembered = "surprisal";

export function view(main, [name]) {
  const { model, which } = modelOf(main, "look", name);
  if (!model) return undefined;
  const text = h("textarea", { rows: 5, name: "text" });
  const place = h("div", {});
  const wrong = trouble();
  let closing = () => {};
  let turn = 0;

  const tabs = h("div", { class: "buttons", role: "group", "aria-label": t("what to look at") }, Object.keys(TABS).map((tab) =>
    button(t(`look ${tab}`), () => show(tab), { dataset: { tab } })));

  async function show(tab) {
    remembered = tab;
    const mine = ++turn;
    for (const one of tabs.children) one.setAttribute("aria-pressed", String(one.dataset.tab === tab));
    const { look } = await TABS[tab]();
    if (mine !== turn) return;
    closing();
    place.replaceChildren();
    given.hidden = tab === "gradients" || tab === "embedding";
    closing = look(place, model, text, wrong) ?? (() => {});
  }

  const given = h("div", { class: "card" }, field(t("text to look at"), text));
  main.append(h("div", { class: "buttons" }, h("div", { class: "field" }, field(t("model"), which)), tabs), given, wrong.line, place);
  wrong.during(async () => {
    text.value = sessionStorage.look || (await sampleFor(model));
    await show(remembered);
  });
  text.addEventListener("input", () => (sessionStorage.look = text.value));
  return { close: () => closing() };
}

async function sampleFor(model) {
  const from = run(model)?.text;
  if (!from) return "";
  try {
    const { report } = await get(`/studio/api/texts/${encodeURIComponent(from)}`);
    return report.samples[0] ?? "";
  } catch {
    return "";
  }
}
