// One text: what was understood of it, before anything is trained.

import { ask, button, field, fill, h, say, select, table } from "./dom.js";
import { get, send } from "./client.js";
import { bytes, facts, percent, trouble, whole } from "./show.js";
import { go } from "./main.js";
import { said } from "./said.js";
import { t } from "./words.js";

const DOCUMENTS = ["auto", "files", "lines", "paragraphs"];
const TOKENIZERS = ["character", "word", "byte", "whitespace"];

export function view(main, [name]) {
  const wrong = trouble();
  const place = h("div", { "aria-busy": "true" });
  const at = `/studio/api/texts/${encodeURIComponent(name)}`;
  const tokenizer = select(TOKENIZERS.map((one) => [one, t(`tokenizer ${one}`)]), "character", { onchange: load });
  const documents = select(DOCUMENTS.map((one) => [one, t(`documents ${one}`)]), "auto", { onchange: load });
  const encoding = h("input", { placeholder: "utf-8, gb18030, shift_jis …", onchange: load });
  let turn = 0;

  async function load() {
    const mine = ++turn;
    place.setAttribute("aria-busy", "true");
    place.replaceChildren(h("p", { class: "quiet" }, t("reading")));
    const query = new URLSearchParams({ tokenizer: tokenizer.value, documents: documents.value, encoding: encoding.value });
    const found = await wrong.during(() => get(`${at}?${query}`));
    if (mine !== turn) return;
    place.removeAttribute("aria-busy");
    fill(place, found && understood(found));
    remove.hidden = !found ? false : found.kind === "bundled";
  }

  const remove = button(t("delete"), () => wrong.during(async () => {
    if (!(await ask(t("delete text?", { name }), t("delete"), t("cancel")))) return;
    await send("DELETE", at);
    say(t("deleted", { name }));
    go("");
  }));
  main.append(h("h1", {}, name),
    h("div", { class: "buttons" }, button(t("train on this"), () => go("train", name), { class: "main" }), remove), wrong.line,
    h("div", { class: "columns" },
      h("section", { class: "card" }, h("h2", {}, t("how to read it")), field(t("tokenizer"), tokenizer), field(t("documents"), documents),
        field(t("encoding"), encoding, t("encoding help"))),
      place));
  load();
}

function understood({ report, bytes: size, files }) {
  const { train, heldout, rhyme } = report;
  const both = (what) => `${whole(train[what])} + ${whole(heldout[what])}`;
  const odd = report.encodings.filter(({ encoding, guessed }) => guessed || encoding !== "utf-8").slice(0, 8);
  return [
    h("section", { class: "card" }, h("h2", {}, t("understood")),
      facts([
        [t("size"), `${bytes(size)}${files > 1 ? `, ${t("files", { n: files })}` : ""}`],
        [t("language"), report.language ? t(`language ${report.language}`) : "–"],
        [t("documents"), `${both("documents")} (${t(`documents ${report.documents}`)})`],
        [t("characters"), both("characters")],
        [t("tokens"), both("tokens")],
        [t("vocabulary"), whole(report.vocabulary)],
        rhyme && [t("rhyme density"), t("rhyme figures", { lines: whole(rhyme.lines), share: percent(rhyme.rhyming), couplets: percent(rhyme.couplets), alternate: percent(rhyme.alternate) })],
      ]),
      h("p", { class: "help" }, t("training + held out")),
      odd.length > 0 && table([t("file"), t("encoding")], odd.map((one) => [one.file, `${one.encoding}${one.guessed ? ` (${t("guessed")})` : ""}`]), t("encoding")),
      report.notes.map((note) => h("p", {}, "⚠ ", said(note)))),
    h("section", { class: "card" }, h("h2", {}, t("samples of documents")),
      report.samples.map((sample) => h("div", {}, h("p", { class: "text" }, sample), h("hr")))),
  ];
}
