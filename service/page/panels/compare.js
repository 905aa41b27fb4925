// Two networks, layer by layer: what differs, and their strengths side by side.

import { path } from "weightome/api.js";
import { catalogue } from "weightome/catalogue.js";
import { chart } from "weightome/charts.js";
import { series } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { count, short } from "weightome/numbers.js";
import { table } from "weightome/table.js";

const SHOWN = { same: "the same", changed: "changed", resized: "another size", rewired: "other links",
  only_here: "only here", only_there: "only there" };

export default {
  id: "compare",
  title: "Compare",
  about: "network",
  summary: "What differs from another network, layer by layer; choose a layer to see its links.",
  controls: [
    {
      name: "other", label: "With", kind: "choice", default: "",
      options: async (context) => [{ value: "", label: "choose a network" }, ...await others(context)],
    },
    {
      name: "matched", label: "Neurons as matched", kind: "toggle", default: false,
      hint: "pairs neurons as `weightome match` did, not by their index",
    },
    { name: "k", label: "Links of a layer", kind: "number", min: 1, max: 1000, default: 20 },
  ],
  async render(body, context) {
    const { network, values } = context;
    if (!values.other) {
      const choices = (await others(context)).slice(0, 12).map((other) => (
        html("li", null, html("a.button", { href: context.link({ values: { other } }) }, other))));
      context.empty(choices.length
        ? `Choose the network that ${network} is compared with.`
        : "There is no other network in the store: ingest a second one.", html("ul.choices", null, choices));
      return;
    }
    const given = { other: values.other, matched: values.matched || "" };
    const answer = await context.ask(path`/v1/networks/${network}/difference`, given);
    const layers = answer.records();
    body.append(verdict(layers, context));
    const compared = layers.filter(({ relative_norm: norm }) => norm !== null);
    if (compared.length) changes(body, compared, context);
    await strengths(body, context);
    const plain = ({ layer, status }) => (status === "changed"
      ? html("a", { href: context.link({ values: { layer } }) }, layer) : layer);
    body.append(html("h2", null, "Layers"), table(answer, {
      caption: "Differences of the layers",
      columns: answer.columns.filter((column) => column !== "layer_index"),
      titles: { mean: "mean change", max: "greatest", norm: "L2 norm", relative_norm: "relative", bias_max: "bias" },
      cells: { layer: (_, record) => plain(record), status: (value) => html(`span.tag.${value}`, null, SHOWN[value] ?? value) },
    }));
    if (values.layer) await links(body, context);
  },
};

async function others(context) {
  const listed = await catalogue();
  const here = listed.find(({ network }) => network === context.network);
  const names = listed.filter(({ network }) => network !== context.network);
  // Those that most likely have the same layers come first.
  const likely = ({ run, parameters }) => (
    2 * (here?.run && run === here.run) + (parameters === here?.parameters));
  return names.sort((one, other) => likely(other) - likely(one)).map(({ network }) => network);
}

function verdict(layers, { network, values }) {
  const differing = layers.filter(({ status }) => status !== "same");
  const links = layers.reduce((sum, layer) => sum + (layer.links ?? 0), 0);
  const said = differing.length === 0
    ? "Both networks are the same: layers, links and biases."
    : `${count(differing.length)} of ${count(layers.length)} layers differ; ${count(links)} links were compared.`;
  return html("p.verdict", null, html("strong", null, network), " and ", html("strong", null, values.other), `. ${said}`);
}

function changes(body, layers, context) {
  body.append(html("h2", null, "How far the weights of each layer are apart"));
  chart(body, {
    tooltip: {
      trigger: "axis",
      formatter: ([{ dataIndex }]) => {
        const { layer, relative_norm: norm, cosine, max } = layers[dataIndex];
        return `${layer}\nrelative ${short(norm)}\ncosine ${cosine === null ? "none" : short(cosine)}\ngreatest ${short(max)}`;
      },
    },
    xAxis: { type: "category", data: layers.map(({ layer }) => layer), axisLabel: { rotate: layers.length > 8 ? 40 : 0 } },
    yAxis: { type: "value", name: "norm of the difference / norm of the weights", nameTextStyle: { align: "left" } },
    series: [{ type: "bar", data: layers.map(({ relative_norm: norm }) => norm), itemStyle: { color: series(0) }, barMaxWidth: 40 }],
  }, context, {
    height: 280, label: "differences", described: `Relative difference of ${layers.length} layers`,
    onclick: ({ dataIndex }) => context.set({ values: { layer: layers[dataIndex].layer } }),
  });
}

async function strengths(body, context) {
  const names = [context.network, context.values.other];
  const both = await Promise.all(names.map((name) => context.ask(path`/v1/networks/${name}/layer-strength`)));
  const layers = [...new Set(both.flatMap((answer) => answer.column("layer")))];
  if (layers.length === 0) return;
  const of = both.map((answer) => new Map(answer.records().map((record) => [record.layer, record])));
  body.append(html("h2", null, "Layers fluctuation of both"));
  chart(body, {
    legend: {},
    tooltip: { trigger: "axis", valueFormatter: (value) => (value === null ? "none" : short(value)) },
    xAxis: { type: "category", data: layers, axisLabel: { rotate: layers.length > 8 ? 40 : 0 } },
    yAxis: { type: "value" },
    series: names.map((name, index) => ({
      name, type: "bar", barMaxWidth: 32, itemStyle: { color: series(index) },
      data: layers.map((layer) => of[index].get(layer)?.fluctuation ?? null),
    })),
  }, context, { height: 280, label: "strengths", described: `Layers fluctuation of ${names.join(" and ")}` });
}

async function links(body, context) {
  const { other, layer, matched, k } = context.values;
  const answer = await context.ask(path`/v1/networks/${context.network}/link-difference`, {
    other, layer, k, matched: matched || "",
  });
  const title = html("h2", { tabindex: "-1" }, `Links into ${layer} that differ most`);
  body.append(title, table(answer, {
    caption: `Links into ${layer} that differ most`,
    titles: { before: context.network, after: other },
  }));
  title.scrollIntoView({ block: "nearest" });
}
