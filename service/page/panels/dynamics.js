// How the layers of a run change from snapshot to snapshot, and each snapshot by itself.

import { path } from "weightome/api.js";
import { chart } from "weightome/charts.js";
import { accent, series } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { histogram } from "weightome/histogram.js";
import { count, short } from "weightome/numbers.js";

const STATISTICS = [
  { value: "fluctuation", label: "layers fluctuation" },
  { value: "strength_mean", label: "mean total strength" },
  { value: "in_mean", label: "mean incoming strength" },
  { value: "out_mean", label: "mean outgoing strength" },
  { value: "link_mean", label: "mean link weight" },
  { value: "link_std", label: "std of link weights" },
  { value: "link_min", label: "least link weight" },
  { value: "link_max", label: "greatest link weight" },
];
const PLAY_MS = 900;

export default {
  id: "dynamics",
  title: "Dynamics",
  about: "run",
  summary: "How the layers change while the network learns. Move the slider to look at one snapshot.",
  controls: [
    {
      name: "statistic", label: "Statistic", kind: "choice", default: "fluctuation",
      options: async (context) => {
        const listed = await context.ask("/v1/networks", { run: context.run });
        const metrics = new Set(listed.column("metrics").flatMap(Object.keys));
        const recorded = [...metrics].map((name) => ({ value: `metric:${name}`, label: name }));
        return [...STATISTICS, ...recorded];
      },
    },
    {
      name: "layer", label: "Layer", kind: "choice", default: "",
      options: async (context) => {
        const answer = await context.ask(path`/v1/runs/${context.run}/dynamics`, { statistic: "fluctuation" });
        return [{ value: "", label: "all layers" }, ...new Set(answer.column("layer"))];
      },
    },
    {
      name: "convention", label: "Convention", kind: "choice", default: "plain",
      options: ["plain", "cnt"], hint: "cnt: a virtual link into each input and out of each output neuron",
    },
    { name: "bias", label: "Count biases", kind: "toggle", default: false },
  ],
  async render(body, context) {
    const { statistic, convention, bias } = context.values;
    const metric = statistic.startsWith("metric:");
    const answer = await context.ask(path`/v1/runs/${context.run}/dynamics`, {
      statistic,
      layer: metric ? "" : context.values.layer,
      convention: convention === "plain" ? "" : convention,
      bias: bias || "",
    });
    const records = answer.records();
    if (records.length === 0) {
      context.empty("This run has no complete snapshot with that statistic. Choose another one.");
      return;
    }
    new View(body, records, metric, context).show();
  },
};

/** The lines over all steps, and below them the step that the slider stands at. */
class View {
  constructor(body, records, metric, context) {
    this._records = records;
    this._metric = metric;
    this._context = context;
    this._snapshots = snapshots(records);
    const asked = this._snapshots.findIndex(({ step }) => String(step) === context.values.step);
    this._place = asked < 0 ? this._snapshots.length - 1 : asked;
    this._kept = new Map();
    this._lines = html("div.titled");
    this._snapshot = html("div.snapshot");
    this._playing = null;
    body.append(this._lines, this._slider(), this._snapshot);
    context.signal.addEventListener("abort", () => clearInterval(this._playing));
  }

  show() {
    this._drawLines();
    this._drawSnapshot();
  }

  _slider() {
    const range = html("input", {
      type: "range", min: 0, max: this._snapshots.length - 1, step: 1, value: this._place, name: "step",
      "aria-label": "Snapshot",
    });
    range.addEventListener("input", () => this._go(Number(range.value)));
    this._range = range;
    this._told = html("output");
    this._play = html("button", { type: "button", onclick: () => this._toggle() }, "Play");
    this._play.disabled = this._snapshots.length < 2;
    return html("div.slider", null, this._play, range, this._told);
  }

  _toggle() {
    if (this._playing) {
      clearInterval(this._playing);
      this._playing = null;
      this._play.textContent = "Play";
      return;
    }
    this._play.textContent = "Pause";
    if (this._place === this._snapshots.length - 1) this._go(0);
    this._playing = setInterval(() => {
      if (this._place === this._snapshots.length - 1) this._toggle();
      else this._go(this._place + 1);
    }, PLAY_MS);
  }

  _go(place) {
    this._place = place;
    this._range.value = place;
    const { step } = this._snapshots[place];
    const last = place === this._snapshots.length - 1;
    this._context.set({ values: { step: last ? "" : step } }, { replace: true, render: false });
    this._mark();
    this._drawSnapshot();
  }

  _drawLines() {
    const layers = [...new Set(this._records.map(({ layer }) => layer))];
    const { statistic } = this._context.values;
    const title = this._metric ? statistic.slice("metric:".length)
      : STATISTICS.find(({ value }) => value === statistic)?.label ?? statistic;
    const lines = layers.map((layer, index) => ({
      name: layer ?? title, type: "line", symbol: "circle", symbolSize: 6, color: series(index),
      data: this._records.filter((record) => record.layer === layer).map(({ step, value }) => [step, value]),
    }));
    this._lines.append(html("h2", null, title.charAt(0).toUpperCase() + title.slice(1)));
    this._chart = chart(this._lines, {
      legend: {},
      tooltip: {
        trigger: "axis", valueFormatter: (value) => (Array.isArray(value) ? short(value[1]) : short(value)),
      },
      grid: { left: 12, right: 24, top: 40, bottom: 34, containLabel: true },
      xAxis: { type: "value", name: "step", nameLocation: "middle", nameGap: 26, min: "dataMin", max: "dataMax", minInterval: 1 },
      yAxis: { type: "value", scale: true },
      series: lines,
    }, this._context, {
      label: "", described: `${title} of ${layers.length} layers over ${this._snapshots.length} steps`,
      onclick: ({ value }) => this._go(this._snapshots.findIndex(({ step }) => step === value[0])),
    });
    this._mark();
  }

  _mark() {
    const { step } = this._snapshots[this._place];
    const line = { xAxis: step, lineStyle: { color: accent(), type: "solid", width: 1.5 }, label: { show: false } };
    this._chart.setOption({ series: [{ markLine: { symbol: "none", silent: true, animation: false, data: [line] } }] });
  }

  async _drawSnapshot() {
    const { step, network } = this._snapshots[this._place];
    this._told.textContent = `step ${count(step)}, ${place(this._place, this._snapshots.length)}`;
    const title = html("h2", null, `Step ${count(step)}: `,
      html("a", { href: this._context.link({ panel: "architecture", network }) }, network));
    const values = this._records.filter((record) => record.step === step && record.layer !== null);
    const bars = html("div");
    const weights = html("div.smalls");
    try {
      const bins = await this._bins(network);
      // The slider may have moved on meanwhile.
      if (this._context.signal.aborted || this._snapshots[this._place].step !== step) return;
      weights.replaceChildren(...this._histograms(bins));
      const metric = this._records.find((record) => record.step === step && record.layer === null);
      this._snapshot.replaceChildren(title,
        ...(values.length ? [valueBars(values, this._records)] : []),
        ...(metric ? [html("p", null, `${this._context.values.statistic.slice(7)} `, html("strong", null, short(metric.value)))] : []),
        html("h3", null, "Weights of the links into each layer"), weights);
      this._context.status(`step ${step}, ${network}`);
    } catch (error) {
      if (this._context.signal.aborted) return;
      bars.append(html("p.note", null, error.message));
      this._snapshot.replaceChildren(title, bars);
    }
  }

  async _bins(network) {
    const { layer } = this._context.values;
    const where = path`/v1/networks/${network}/histogram`;
    const answer = await this._context.ask(where, { bins: 40, layer: this._metric ? "" : layer });
    return answer.records();
  }

  _histograms(bins) {
    const layers = [...new Set(bins.map(({ layer }) => layer))];
    return layers.map((layer) => {
      const own = bins.filter((bin) => bin.layer === layer);
      return html("div.small", null,
        html("span.title", null, html("strong", { title: layer }, layer)),
        histogram(own, { described: `Histogram of the weights into ${layer}` }),
        html("span.ends", null, html("span", null, short(own[0].low)), html("span", null, short(own.at(-1).high))));
    });
  }
}

/** The value of each layer at one step, on a scale that is the same at all steps. */
function valueBars(values, all) {
  const greatest = Math.max(...all.map(({ value }) => Math.abs(value)), 0) || 1;
  return html("div.bars", { role: "list" }, values.map(({ layer, value }) => html("div.row", { role: "listitem" },
    html("span.name", { title: layer }, layer),
    html("span.track", { "aria-hidden": "true" }, html("span", {
      class: value < 0 ? "fill negative" : "fill",
      style: { width: `${(Math.abs(value) / greatest) * 100}%` },
    })),
    html("span.value", { title: String(value) }, short(value)))));
}

function snapshots(records) {
  const steps = new Map(records.map(({ step, network }) => [step, network]));
  return [...steps].map(([step, network]) => ({ step, network }));
}

const place = (index, all) => `snapshot ${index + 1} of ${all}`;
