// Elements made from plain values. Text is always text: nothing here reads HTML.

export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name === "variables") for (const [key, one] of Object.entries(value)) made.style.setProperty(key, one);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  return put(made, children);
}

/** Append children: texts and elements; arrays are laid open, null, undefined and false passed over. */
export function put(place, ...children) {
  place.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return place;
}

/** Put children in place of what is there. */
export function fill(place, ...children) {
  place.replaceChildren();
  return put(place, children);
}

let fields = 0;

/** A labelled control: `field("Minutes", h("input", {type: "number"}))`; `help` stands below it. */
export function field(label, control, help = "") {
  const id = control.id || (control.id = `field-${++fields}`);
  const parts = [h("label", { for: id }, label), control];
  if (help) {
    control.setAttribute("aria-describedby", `${id}-help`);
    parts.push(h("p", { class: "help", id: `${id}-help` }, help));
  }
  return h("div", { class: "field" }, parts);
}

export function check(label, checked, properties = {}) {
  const input = h("input", { type: "checkbox", checked, ...properties });
  return { input, label: h("label", { class: "check" }, input, h("span", {}, label)) };
}

export function select(options, chosen, properties = {}) {
  const made = h("select", properties, options.map(([value, text]) => h("option", { value }, text)));
  if (options.some(([value]) => value === chosen)) made.value = chosen;
  return made;
}

/** A slider with its value beside it. */
export function slider(label, { min, max, step, value, name, show = String }) {
  const said = h("output", {}, show(value));
  const input = h("input", { type: "range", min, max, step, value, name, oninput: () => (said.textContent = show(Number(input.value))) });
  const made = field(label, input);
  made.firstChild.append(" ", said);
  return { input, field: made };
}

export function button(text, act, properties = {}) {
  return h("button", { type: "button", onclick: act, ...properties }, text);
}

/** A table from rows of values; the first column heads its row. */
export function table(heads, rows, caption) {
  return h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) => (i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))))))));
}

/** Ask before something is lost. Resolves to true or false. */
export function ask(question, yes, no) {
  return new Promise((answered) => {
    const dialog = h("dialog", { "aria-label": question, onclose: () => (answered(dialog.returnValue === "yes"), dialog.remove()) },
      h("form", { method: "dialog" }, h("p", {}, question),
        h("div", { class: "buttons" }, h("button", { value: "no" }, no), h("button", { value: "yes", class: "main" }, yes))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for a line of text. Resolves to the text, or null. */
export function askText(question, value, yes, no) {
  return new Promise((answered) => {
    const input = h("input", { value, name: "text", required: true, maxlength: 100 });
    const dialog = h("dialog", { "aria-label": question, onclose: () => (answered(dialog.returnValue === "yes" ? input.value.trim() : null), dialog.remove()) },
      h("form", { method: "dialog" }, field(question, input),
        h("div", { class: "buttons" }, h("button", { value: "yes", class: "main" }, yes),
          button(no, () => dialog.close("no")))));
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

/** What happens for those who don't see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
