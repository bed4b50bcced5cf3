// One run, live: curves, samples, time left; stop, go on, extend.

import { button, field, fill, h, say, select } from "./dom.js";
import { get, post } from "./client.js";
import { Curves } from "./chart.js";
import { actions } from "./home.js";
import { bytes, date, duration, facts, figures, fixed, percent, state as stateOf, trouble, whole } from "./show.js";
import { store } from "./store.js";
import { go } from "./main.js";
import { said } from "./said.js";
import { t } from "./words.js";

const BUSY = ["running", "starting", "stopping"];

export function view(main, [name]) {
  const at = `/studio/api/runs/${encodeURIComponent(name)}`;
  const wrong = trouble();
  const head = h("div", { class: "card" });
  const samples = h("div", {});
  const log = h("pre", { class: "help", tabindex: "0", role: "region", "aria-label": t("log") });
  const about = h("div", {});
  const chart = new Curves({ label: t("curves of", { name }), xLabel: t("steps"), yLabel: t("loss") });
  let run = null, rows = [], other = null, waiting = false, closed = false, before = "";

  const over = select([["", "–"], ...store.runs.filter((one) => one.name !== name).map((one) => [one.name, one.name])], "", {
    onchange: async () => {
      other = over.value ? await wrong.during(() => get(`/studio/api/runs/${encodeURIComponent(over.value)}`)) : null;
      draw();
    } });
  const axis = select([["step", t("steps")], ["seconds", t("seconds")], ["epoch", t("epochs")]], "step", { onchange: draw });

  main.append(h("h1", {}, name), wrong.line, head,
    h("div", { class: "halves" },
      h("section", { class: "card" }, h("h2", {}, t("curve")), chart.element, h("p", { class: "help" }, t("curve help")),
        h("div", { class: "fields" }, field(t("overlay"), over), field(t("over"), axis))),
      h("section", { class: "card" }, h("h2", {}, t("samples")), samples)),
    h("section", { class: "card" }, about, h("details", {}, h("summary", {}, t("log")), log)));

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!closed) chart.update(curves(name, rows, run, other, axis.value, chart));
    });
  }

  const events = new EventSource(`${at}/events`);
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("rows", (all) => ((rows = all), draw()));
  on("row", (row) => (rows.push(row), draw()));
  const none = h("p", { class: "quiet" }, t("no samples"));
  on("samples", (all) => fill(samples, all.length ? all.slice(-50).reverse().map(sampleOf) : none));
  on("sample", (one) => (none.remove(), samples.prepend(sampleOf(one))));
  on("log", ({ lines }) => {
    log.textContent = [...log.textContent.split("\n").filter(Boolean), ...lines].slice(-200).join("\n");
  });
  on("run", (now) => {
    run = now;
    header(head, now, at, wrong);
    draw();
    if (before && before !== now.state) say(`${name}: ${t(`state ${now.state}`)}`);
    if (before !== now.state && !BUSY.includes(now.state)) wrong.during(async () => fill(about, card(await get(at))));
    before = now.state;
  });
  on("gone", () => (events.close(), go("")));
  return { close: () => ((closed = true), events.close(), chart.close()) };
}

const sampleOf = ({ step, seconds, text }) =>
  h("div", {}, h("p", { class: "quiet" }, t("after", { steps: whole(step), time: duration(seconds) })), h("p", { class: "text" }, text), h("hr"));

function curves(name, rows, run, other, axis, chart) {
  const of = (label, all, key, more) => {
    const known = all.filter((row) => row[key] !== null && row[key] !== undefined && row[axis] !== null);
    return { label, x: known.map((row) => row[axis]), y: known.map((row) => row[key]), ...more };
  };
  const all = [of(t("held out"), rows, "heldout_loss", { ink: "--accent" }), of(t("training"), rows, "train_loss", { ink: "--second" })];
  const last = rows.at(-1)?.[axis] ?? 0;
  for (const [key, ink] of [["ngram", "--third"], ["unigram", "--quiet"]]) {
    const line = run?.lines?.[key];
    if (line && last) all.push({ label: line.name, x: [0, last], y: [line.loss, line.loss], dash: true, ink });
  }
  if (other) all.push(of(`${other.name}: ${t("held out")}`, other.rows, "heldout_loss", { ink: "--wrong" }), of(`${other.name}: ${t("training")}`, other.rows, "train_loss", { ink: "--wrong", dash: true }));
  chart.xLabel = t({ step: "steps", seconds: "seconds", epoch: "epochs" }[axis]);
  chart.caption.textContent = `${t("loss")} / ${chart.xLabel}`;
  return all.filter((curve) => curve.x.length);
}

function header(place, run, at, wrong) {
  const busy = BUSY.includes(run.state);
  const pressed = place.contains(document.activeElement) && document.activeElement.dataset.name;
  const more = place.querySelector("input")?.value ?? 2;
  const extra = h("input", { type: "number", min: 0.1, step: "any", value: more, "aria-label": t("more minutes"), dataset: { name: "more" } });
  const act = (name, word, path, body, properties = {}) => button(word, () => wrong.during(() => post(`${at}/${path}`, body())), { dataset: { name }, ...properties });
  fill(place,
    h("div", { class: "buttons" }, stateOf(run), h("span", { class: "quiet" }, [run.what, run.text ?? run.names?.join(", ")].filter(Boolean).join(" · "))),
    run.message && h("p", { class: "wrong" }, said(run.message)),
    busy && run.progress !== null && h("progress", { max: 1, value: run.progress, "aria-label": t("progress") }),
    figures([
      [t("bits per character"), fixed(run.bits, 3)],
      run.lines?.ngram ? [run.lines.ngram.name, fixed(run.lines.ngram.bits, 3)] : null,
      run.lines?.unigram ? [run.lines.unigram.name, fixed(run.lines.unigram.bits, 3)] : null,
      [t("steps"), whole(run.steps)], [t("tokens per second"), whole(run.tokens_per_second)],
      busy ? [t("time left"), duration(run.left)] : [t("trained for"), duration(run.seconds)],
    ].filter(Boolean)),
    h("div", { class: "buttons" },
      busy && act("stop", t("stop"), "stop", () => ({}), { disabled: run.state === "stopping" }),
      !busy && run.resumable && (run.progress === null || run.progress < 1) && act("resume", t("resume"), "resume", () => ({})),
      !busy && run.resumable && [act("extend", t("extend"), "resume", () => ({ more_minutes: Number(extra.value) })), h("div", { class: "minutes" }, extra), t("minutes")],
      run.has_model && run.writes && h("a", { class: "button main", href: `#/write/${encodeURIComponent(run.name)}` }, t("write")),
      run.has_model && h("a", { class: "button", href: `#/look/${encodeURIComponent(run.name)}` }, t("look")),
      actions(run, wrong, (now) => (now ? go("run", now.name) : go("")))));
  if (pressed) place.querySelector(`[data-name="${pressed}"]`)?.focus();
}

function card(run) {
  const chosen = Object.entries(run.recipe ?? {});
  return [
    h("h2", {}, t("about")),
    facts([[t("created"), date(run.created)], [t("size"), bytes(run.bytes)], run.model_bytes && [t("model"), bytes(run.model_bytes)],
      run.progress !== null && [t("progress"), percent(run.progress)]]),
    run.card && h("details", {}, h("summary", {}, t("card")), h("pre", { class: "help", tabindex: "0", role: "region", "aria-label": t("card") }, run.card)),
    chosen.length > 0 && h("details", {}, h("summary", {}, t("settings")), facts(chosen.map(([key, value]) => [key, String(value)]))),
  ];
}
