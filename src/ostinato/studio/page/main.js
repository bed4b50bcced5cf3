// The rooms of the studio: which is open stands in the address after #.

import { h, select } from "./dom.js";
import { choose, language, LANGUAGES, t } from "./words.js";
import { open, store } from "./store.js";

const ROOMS = {
  "": () => import("./home.js"),
  text: () => import("./text.js"),
  train: () => import("./train.js"),
  run: () => import("./run.js"),
  write: () => import("./write.js"),
  look: () => import("./look.js"),
  compare: () => import("./compare.js"),
};
const SHOWN = [["", "home"], ["train", "train"], ["write", "write"], ["look", "look"], ["compare", "compare"]];
const THEMES = ["auto", "light", "dark"];
let shown = { close() {} };
let turn = 0;

export function go(...parts) {
  location.hash = `#/${parts.map(encodeURIComponent).join("/")}`;
}

function where() {
  const [room = "", ...names] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return room in ROOMS ? { room, names } : { room: "", names: [] };
}

function heading(room, names) {
  const current = { text: "", run: "" }[room] ?? room;
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("skip");
  document.getElementById("nav").setAttribute("aria-label", t("rooms"));
  document.getElementById("nav").replaceChildren(...SHOWN.map(([name, word]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, t(word))));
  const languages = select(LANGUAGES, language(), { "aria-label": t("language"), onchange: () => (choose(languages.value), render()) });
  const theme = select(THEMES.map((name) => [name, t(`theme ${name}`)]), localStorage.theme ?? "auto", {
    "aria-label": t("theme"), onchange: () => (dress(theme.value), render()) });
  document.getElementById("choices").replaceChildren(languages, theme);
  document.title = [...names.slice(0, 1), t(SHOWN.find(([name]) => name === current)[1]), "ostinato"].join(" · ");
}

function dress(theme) {
  localStorage.theme = theme;
  document.documentElement.dataset.theme = theme;
}

async function render(focus = false) {
  const mine = ++turn;
  const { room, names } = where();
  const main = document.getElementById("main");
  heading(room, names);
  const { view } = await ROOMS[room]();
  if (mine !== turn) return;
  shown.close();
  main.replaceChildren();
  shown = { close() {} };
  try {
    shown = view(main, names) ?? shown;
  } catch (error) {
    main.append(h("h1", {}, "ostinato"), h("p", { class: "wrong", role: "alert" }, String(error.message ?? error)));
  }
  if (focus) {
    const title = main.querySelector("h1");
    title?.setAttribute("tabindex", "-1");
    title?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

dress(localStorage.theme ?? "auto");
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
addEventListener("hashchange", () => render(true));
open().then(() => render(), (error) => {
  document.getElementById("main").append(h("h1", {}, "ostinato"), h("p", { class: "wrong", role: "alert" }, error.message));
}).finally(() => (globalThis.studio = { ready: true, store }));
