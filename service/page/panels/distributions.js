// How the weights of links and the strengths of neurons are distributed, layer by layer.

import { path } from "weightome/api.js";
import { chart } from "weightome/charts.js";
import { series, signColour } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { histogram } from "weightome/histogram.js";
import { count, short } from "weightome/numbers.js";
import { table } from "weightome/table.js";

const MOST_SHOWN = 48;
const OF = [
  { value: "links", label: "weights of links" },
  { value: "total", label: "total strength of neurons" },
  { value: "in", label: "incoming strength" },
  { value: "out", label: "outgoing strength" },
];

export default {
  id: "distributions",
  title: "Distributions",
  about: "network",
  summary: "Weights of links, and strengths of neurons: the sums of their weights.",
  controls: [
    { name: "of", label: "Of", kind: "choice", options: OF, default: "links" },
    {
      name: "layer", label: "Layer", kind: "choice", default: "",
      options: async (context) => {
        const layers = await context.ask(path`/v1/networks/${context.network}/layers`);
        return [{ value: "", label: "all layers" }, ...layers.column("layer")];
      },
    },
    { name: "bins", label: "Bins", kind: "number", min: 2, max: 400, default: 40 },
    { name: "bias", label: "Count biases", kind: "toggle", default: false, hint: "among the weights, and in strengths" },
  ],
  async render(body, context) {
    const found = await counted(context);
    if (found.size === 0) {
      context.empty(context.values.of === "links"
        ? "No learned link ends here. Choose another layer, or all of them."
        : "No neuron here has a learned link. Choose another layer, or all of them.");
      return;
    }
    const { layer } = context.values;
    if (layer && found.has(layer)) one(body, layer, found.get(layer), context);
    else several(body, found, context);
    await summary(body, context);
  },
};

/** The bins of each layer, by its name. */
async function counted(context) {
  const { of, layer, bins, bias } = context.values;
  const where = path`/v1/networks/${context.network}/`;
  const answer = of === "links"
    ? await context.ask(`${where}histogram`, { bins, layer, bias: bias || "" })
    : await context.ask(`${where}distribution`, { of, bins });
  const found = new Map();
  for (const bin of answer.records()) {
    if (layer && bin.layer !== layer) continue;
    if (!found.has(bin.layer)) found.set(bin.layer, []);
    found.get(bin.layer).push(bin);
  }
  return found;
}

function one(body, layer, bins, context) {
  const of = OF.find(({ value }) => value === context.values.of)?.label;
  chart(body, {
    tooltip: {
      trigger: "item",
      formatter: ({ dataIndex }) => {
        const { low, high, count: number } = bins[dataIndex];
        return `${short(low)} to ${short(high)}\n${count(number)}`;
      },
    },
    xAxis: { type: "value", scale: true, name: of, nameLocation: "middle", nameGap: 30 },
    yAxis: { type: "value", name: "count", axisLine: { onZero: false } },
    grid: { left: 12, right: 24, top: 40, bottom: 36, containLabel: true },
    series: [{
      type: "custom",
      encode: { x: [0, 1], y: 2 },
      data: bins.map(({ low, high, count: number }) => [low, high, number]),
      renderItem: (_, api) => {
        const [low, high] = [api.value(0), api.value(1)];
        const top = api.coord([low, api.value(2)]);
        const bottom = api.coord([high, 0]);
        return {
          type: "rect",
          shape: { x: top[0], y: top[1], width: Math.max(bottom[0] - top[0] - 1, 1), height: bottom[1] - top[1] },
          style: { fill: signColour((low + high) / 2 < 0 ? -1 : 1, 1.3) },
        };
      },
    }],
  }, context, { described: `Histogram of the ${of} of ${layer}`, label: layer, height: 380 });
}

function several(body, found, context) {
  const layers = [...found];
  const cards = layers.map(([layer, bins]) => {
    const total = bins.reduce((sum, bin) => sum + bin.count, 0);
    const href = context.link({ values: { layer } });
    return html("a.small", { href, "aria-label": `Distribution of ${layer}` },
      html("span.title", null, html("strong", { title: layer }, layer), html("span.quiet", null, count(total))),
      histogram(bins, { described: `Histogram of ${layer}` }),
      html("span.ends", null, html("span", null, short(bins[0].low)), html("span", null, short(bins.at(-1).high))));
  });
  const rest = cards.slice(MOST_SHOWN);
  const grid = html("div.smalls", null, cards.slice(0, MOST_SHOWN));
  body.append(grid);
  if (rest.length === 0) return;
  const more = html("button", { type: "button" }, `Show ${rest.length} more layers`);
  more.addEventListener("click", () => {
    grid.append(...rest);
    more.remove();
  });
  body.append(more);
}

async function summary(body, context) {
  const { of, layer, bias } = context.values;
  const where = path`/v1/networks/${context.network}/`;
  const given = { bias: bias || "" };
  const links = of === "links";
  const answer = await context.ask(`${where}${links ? "links" : "layer-strength"}`, given);
  const records = answer.records();
  const name = (record) => record.layer;
  if (!layer && records.length > 1) {
    body.append(html("h2", null, links ? "Weights of all layers" : "Strengths of all layers"));
    chart(body, {
      legend: links ? undefined : {},
      tooltip: { trigger: "axis", formatter: (items) => said(records[items[0].dataIndex], links) },
      xAxis: { type: "category", data: records.map(name), axisLabel: { rotate: records.length > 8 ? 40 : 0 } },
      yAxis: { type: "value", scale: true },
      series: links ? boxes(records) : strengths(records),
    }, context, {
      label: "all layers",
      described: links ? "Quantiles of the weights of each layer" : "Mean strength and fluctuation of each layer",
      onclick: ({ dataIndex }) => context.set({ values: { layer: records[dataIndex].layer } }),
    });
  }
  body.append(html("h2", null, "Statistics"), table(answer, {
    caption: links ? "Statistics of the weights" : "Statistics of the strengths",
    columns: answer.columns.filter((column) => column !== "layer_index"),
    cells: { layer: (value) => html("a", { href: context.link({ values: { layer: value } }) }, value) },
  }));
}

function boxes(records) {
  return [{
    type: "boxplot",
    data: records.map(({ q05, q25, median, q75, q95 }) => [q05, q25, median, q75, q95]),
    itemStyle: { color: signColour(0.35, 1), borderColor: series(0), borderWidth: 1.5 },
  }, {
    type: "scatter", symbol: "diamond", symbolSize: 7, data: records.map(({ mean }) => mean),
    itemStyle: { color: series(1) }, name: "mean",
  }];
}

function strengths(records) {
  return [
    { name: "mean strength", type: "bar", data: records.map(({ mean }) => mean), itemStyle: { color: series(0) }, barMaxWidth: 28 },
    { name: "layers fluctuation", type: "line", data: records.map(({ fluctuation }) => fluctuation), itemStyle: { color: series(1) },
      lineStyle: { color: series(1) }, symbol: "circle", symbolSize: 7 },
  ];
}

function said(record, links) {
  const names = links ? ["q05", "q25", "median", "mean", "q75", "q95"] : ["mean", "fluctuation", "min", "max"];
  return [record.layer, ...names.map((name) => `${name} ${short(record[name])}`)].join("\n");
}
