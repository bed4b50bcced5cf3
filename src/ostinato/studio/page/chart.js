// Curves. uPlot (uplot/, MIT licence) is loaded when the first one is drawn.

import { h } from "./dom.js";

let library = null;

function load() {
  library ??= new Promise((done, failed) => {
    document.head.append(h("link", { rel: "stylesheet", href: "/page/uplot/uPlot.min.css" }));
    document.head.append(h("script", { src: "/page/uplot/uPlot.iife.min.js", onload: () => done(globalThis.uPlot), onerror: failed }));
  });
  return library;
}

/** The colour that a variable of the style sheet stands for now. */
export function colour(variable) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const INKS = ["--accent", "--second", "--third", "--wrong", "--quiet", "--ink"];

/**
 * A chart of several curves, each with x of its own. at(x): how a place on the x axis is called below the chart.
 * curves: [{label, x, y, dash, ink}], x rising. `update(curves)` draws anew; the zoom of a reader who zoomed stays.
 */
export class Curves {
  constructor({ label, xLabel, yLabel, height = 280, logarithmic = false, at = (x) => x }) {
    this.element = h("figure", { role: "img", "aria-label": label });
    this.place = h("div", {});
    this.caption = h("figcaption", {}, `${yLabel} / ${xLabel}`);
    this.element.append(this.place, this.caption);
    Object.assign(this, { xLabel, yLabel, height, logarithmic, at, chart: null, shape: "", label });
    this.watch = new ResizeObserver(() => this.chart?.setSize(this.size()));
    this.watch.observe(this.place);
  }

  size() {
    return { width: Math.max(260, this.place.clientWidth), height: this.height };
  }

  async update(curves) {
    this.curves = curves = curves.filter((curve) => curve.x.length);
    if (!curves.length) return;
    const uPlot = await load();
    if (curves !== this.curves || !this.place.isConnected) return;
    const data = curves.length > 1 ? uPlot.join(curves.map(({ x, y }) => [x, y])) : [curves[0].x, curves[0].y];
    const shape = [document.documentElement.dataset.theme, data[0].length < 40, ...curves.map((curve) => curve.label)].join("\n");
    if (this.chart && shape === this.shape) {
      this.chart.setData(data, !this.zoomed());
    } else {
      this.chart?.destroy();
      this.chart = new uPlot(this.options(curves, data), data, this.place);
      this.shape = shape;
    }
    const ends = curves.map(({ label, y }) => `${label}: ${y.findLast((value) => value !== null)?.toFixed(3)}`);
    this.element.setAttribute("aria-label", `${this.label}. ${ends.join("; ")}`);
  }

  zoomed() {
    const { min, max } = this.chart.scales.x;
    const x = this.chart.data[0];
    return min > x[0] || max < x[x.length - 1];
  }

  options(curves, data) {
    const ink = colour("--quiet");
    const axis = { stroke: ink, grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const inks = INKS.map(colour);
    return {
      ...this.size(), scales: { x: { time: false }, y: this.logarithmic ? { distr: 3 } : {} }, axes: [{ ...axis }, { ...axis, size: 56 }], cursor: { drag: { x: true, y: false } },
      series: [{ label: this.xLabel, value: (_, x) => (x === null || x === undefined ? "–" : this.at(x)) }, ...curves.map(({ label, dash, ink: own }, i) => ({
        label, stroke: own ? colour(own) : inks[i % inks.length], width: 2, dash: dash ? [6, 5] : undefined, spanGaps: true, points: { show: data[0].length < 40, size: 5 },
        value: (_, value) => (value === null || value === undefined ? "–" : (this.logarithmic && value < 0.1 ? value.toExponential(1) : value.toFixed(3))),
      }))],
    };
  }

  close() {
    this.watch.disconnect();
    this.chart?.destroy();
  }
}
