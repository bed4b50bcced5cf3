// Rooms that are about one model.

import { h, select } from "./dom.js";
import { models } from "./store.js";
import { go } from "./main.js";
import { t } from "./words.js";

/** Head `room` and find its model: the named one, or the newest. Where there is none, say so: then `model` is missing. */
export function modelOf(main, room, name) {
  const known = models();
  const model = name ?? known[0];
  main.append(h("h1", {}, t(room)));
  if (!model) {
    main.append(h("p", {}, t("no models"), " ", h("a", { href: "#/train" }, t("train"))));
    return {};
  }
  if (!known.includes(model)) known.unshift(model);
  const which = select(known.map((one) => [one, one]), model, { onchange: () => go(room, which.value), name: "model" });
  return { model, which };
}
