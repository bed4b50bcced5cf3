// How surprised a model is, token by token.

import { button, h } from "../dom.js";
import { post } from "../client.js";
import { alternatives } from "../alternatives.js";
import { figures, fixed } from "../show.js";
import { heat, Tokens } from "../tokens.js";
import { t } from "../words.js";

export function look(place, model, text, wrong) {
  const numbers = h("div", {});
  const foot = h("p", { class: "help" }, t("surprisal help"));
  const view = new Tokens({
    label: t("look surprisal"), paint: (token) => heat(token.bits),
    look: (i) => i !== null && (foot.textContent = `“${view.all[i].text}” ${fixed(view.all[i].bits)} ${t("bits")}, ${t("rank", { n: view.all[i].rank })}`),
    choose: (i, element) => alternatives(view.all[i], element, () => {}),
  });
  const measure = () => wrong.during(async () => {
    const found = await post("/studio/api/look/surprisal", { model, text: text.value, top: [...text.value].length > 4000 ? 0 : 6 });
    view.set(found.tokens);
    numbers.replaceChildren(figures([[t("bits per character"), fixed(found.bits_per_character, 3)], [t("perplexity"), fixed(found.perplexity)], [t("tokens"), found.tokens.length]]));
  });
  place.append(h("div", { class: "card" }, h("div", { class: "buttons" }, button(t("measure"), measure, { class: "main" })), numbers, view.element, foot));
  if (text.value) measure();
}
