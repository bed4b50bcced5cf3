// Texts and runs: what lies in the folder.

import { ask, askText, button, field, h, say, table } from "./dom.js";
import { post, send, upload } from "./client.js";
import { bytes, date, fixed, state as stateOf, trouble } from "./show.js";
import { store, watch } from "./store.js";
import { go } from "./main.js";
import { t } from "./words.js";

export function view(main) {
  const texts = h("div", {});
  const runs = h("div", {});
  const wrong = trouble();
  const update = (part) => {
    if (part !== "runs") texts.replaceChildren(listOfTexts());
    if (part !== "comparisons") runs.replaceChildren(listOfRuns(wrong));
  };
  main.append(
    h("h1", {}, t("home")), wrong.line,
    h("div", { class: "columns" },
      h("div", {}, h("section", { class: "card" }, h("h2", {}, t("add text")), dropping(wrong), pasting(wrong)),
        h("section", { class: "card" }, h("h2", {}, t("texts")), texts)),
      h("section", { class: "card" }, h("h2", {}, t("runs")), runs)));
  update("texts");
  return { close: watch(update) };
}

function listOfTexts() {
  if (!store.texts.length) return h("p", { class: "quiet" }, t("no texts"));
  return h("div", {}, store.texts.map((text) =>
    h("p", {}, h("a", { href: `#/text/${encodeURIComponent(text.name)}` }, text.name),
      h("span", { class: "quiet" }, ` ${bytes(text.bytes)}${text.files > 1 ? `, ${t("files", { n: text.files })}` : ""}${text.kind === "bundled" ? `, ${t("bundled")}` : ""}`))));
}

function listOfRuns(wrong) {
  if (!store.runs.length) return h("p", { class: "quiet" }, t("no runs"));
  const rows = store.runs.map((run) => [
    h("span", {}, h("a", { href: `#/run/${encodeURIComponent(run.name)}` }, run.name), h("span", { class: "under" }, run.what ?? run.kind ?? "")),
    stateOf(run), fixed(run.bits, 3), bytes(run.bytes), date(run.modified),
    [run.has_model && run.writes && h("a", { class: "button small", href: `#/write/${encodeURIComponent(run.name)}`, "aria-label": `${t("write")}: ${run.name}` }, t("write")),
      h("details", {}, h("summary", { "aria-label": `${t("more")}: ${run.name}` }, t("more")), actions(run, wrong))],
  ]);
  return table([t("name"), t("state"), t("bits per character"), t("size"), t("changed"), t("actions")], rows, t("runs"));
}

/** Rename, duplicate, download, delete: for a row of the list and for the run's own page. */
export function actions(run, wrong, gone = () => {}) {
  const at = `/studio/api/runs/${encodeURIComponent(run.name)}`;
  const busy = ["running", "starting", "stopping"].includes(run.state);
  const named = (word) => ({ class: "small", "aria-label": `${t(word)}: ${run.name}` });
  return h("div", { class: "buttons" },
    button(t("rename"), () => wrong.during(async () => {
      const name = await askText(t("new name", { name: run.name }), run.name, t("rename"), t("cancel"));
      if (name && name !== run.name) gone(await send("PATCH", at, { name }));
    }), { ...named("rename"), disabled: busy }),
    button(t("duplicate"), () => wrong.during(() => post(`${at}/duplicate`, {})), { ...named("duplicate"), disabled: busy }),
    run.has_model && h("a", { class: "button small", href: `${at}/bundle.zip`, download: `${run.name}.zip`, "aria-label": `${t("download")}: ${run.name}` }, t("download")),
    button(t("delete"), () => wrong.during(async () => {
      if (!(await ask(t("delete run?", { name: run.name }), t("delete"), t("cancel")))) return;
      await send("DELETE", at);
      say(t("deleted", { name: run.name }));
      gone(null);
    }), { ...named("delete"), disabled: busy }));
}

// -- adding texts --------------------------------------------------------------------------------------------------

function dropping(wrong) {
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("uploading") });
  const add = (files) => wrong.during(async () => {
    bar.hidden = false;
    try {
      const name = await send_(files, (share) => (bar.value = share));
      if (name) go("text", name);
    } finally {
      bar.hidden = true;
    }
  });
  const picker = (properties) => {
    const input = h("input", { type: "file", hidden: true, ...properties, onchange: () => add([...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }))) });
    return input;
  };
  const files = picker({ multiple: true, id: "file" });
  const folder = picker({ webkitdirectory: true });
  const box = h("div", { class: "drop",
    ondragover: (event) => (event.preventDefault(), box.classList.add("over")),
    ondragleave: () => box.classList.remove("over"),
    ondrop: async (event) => {
      event.preventDefault();
      box.classList.remove("over");
      add(await dropped(event.dataTransfer));
    } },
    h("p", {}, t("drop here")),
    h("div", { class: "buttons" }, button(t("choose files"), () => files.click()), button(t("choose folder"), () => folder.click())),
    h("p", { class: "help" }, t("kinds of files", { most: bytes(store.state.upload_bytes) })), files, folder, bar);
  return box;
}

async function dropped(transfer) {
  const found = [];
  async function walk(entry, path) {
    if (entry.isFile) {
      found.push({ path, file: await new Promise((done, failed) => entry.file(done, failed)) });
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) return;
        for (const one of some) await walk(one, `${path}/${one.name}`);
      }
    }
  }
  for (const entry of [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean)) await walk(entry, entry.name);
  return found;
}

async function send_(files, progress) {
  if (!files.length) return null;
  if (files.length === 1) {
    const { path, file } = files[0];
    return (await upload(`/studio/api/texts?name=${encodeURIComponent(path.split("/").pop())}`, file, progress)).name;
  }
  const inside = files.every(({ path }) => path.includes("/"));
  const { name } = await post("/studio/api/folders", { name: inside ? files[0].path.split("/")[0] : t("several files") });
  for (const [i, { path, file }] of files.entries()) {
    const place = inside ? path.slice(path.indexOf("/") + 1) : path;
    await upload(`/studio/api/texts/${encodeURIComponent(name)}/file?path=${encodeURIComponent(place)}`, file, (share) => progress((i + share) / files.length));
  }
  return name;
}

function pasting(wrong) {
  const name = h("input", { value: t("pasted"), maxlength: 80, id: "paste-name" });
  const text = h("textarea", { rows: 6, id: "paste-text" });
  return h("details", {}, h("summary", {}, t("paste")), field(t("name"), name), field(t("text"), text),
    h("div", { class: "buttons" }, button(t("keep"), () => wrong.during(async () => {
      const made = await post("/studio/api/texts", { name: name.value, text: text.value });
      go("text", made.name);
    }))));
}

