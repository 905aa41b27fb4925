// The strongest, nearest or shortest paths between two sets of neurons, drawn over the neurons that
// they lead through, and as a table.

import { path } from "weightome/api.js";
import { ink, muted } from "weightome/colours.js";
import { Drawn } from "weightome/drawn.js";
import { html } from "weightome/element.js";
import { samples } from "weightome/legend.js";
import { count, short } from "weightome/numbers.js";
import { parts } from "weightome/picks.js";
import { keyOf } from "weightome/placing.js";
import { table } from "weightome/table.js";

const COSTS = [
  { value: "strongest", label: "strongest: greatest product of |w|" },
  { value: "nearest", label: "nearest: least sum of 1/|w|" },
  { value: "hops", label: "fewest links" },
  { value: "excitatory", label: "strongest with a positive product" },
  { value: "inhibitory", label: "strongest with a negative product" },
];
const MANY_LINKS = 300_000;

export default {
  id: "paths",
  title: "Paths",
  about: "network",
  summary: "The best paths from some neurons or a layer to some neurons or a layer, and what they multiply to.",
  controls: [
    { name: "source", label: "From", kind: "text", placeholder: "input, input/28 or input/0-9,28", default: "" },
    { name: "target", label: "To", kind: "text", placeholder: "output, output/3 or output/0-2,7", default: "" },
    { name: "cost", label: "Paths", kind: "choice", options: COSTS, default: "strongest" },
    { name: "k", label: "How many", kind: "number", min: 1, max: 500, default: 10 },
  ],
  async render(body, context) {
    const { network, values } = context;
    const layers = (await context.ask(path`/v1/networks/${network}/layers`)).records();
    const [source, target] = ends(values, layers);
    const links = layers.reduce((sum, layer) => sum + layer.links_in, 0);
    if (!(values.source && values.target) && links > MANY_LINKS) {
      context.empty(
        `This network has ${count(links)} links: say above from where to where paths shall lead.`,
        choices(layers, context),
      );
      return;
    }
    const answer = await context.ask(path`/v1/networks/${network}/paths`, {
      source, target, cost: values.cost, k: values.k,
    });
    if (answer.length === 0) {
      context.empty(`No such path leads from ${source} to ${target}.`, choices(layers, context));
      return;
    }
    show(body, context, layers, answer, source, target);
  },
};

/** Where paths begin and end: what was asked, or the first layer and the last. */
function ends({ source, target }, layers) {
  const feeding = new Set(layers.flatMap((layer) => layer.fed_by.filter((name) => name !== layer.layer)));
  const inputs = layers.filter((layer) => layer.fed_by.length === 0);
  const outputs = layers.filter((layer) => !feeding.has(layer.layer));
  return [source || (inputs[0] ?? layers[0]).layer, target || (outputs.at(-1) ?? layers.at(-1)).layer];
}

function choices(layers, context) {
  const some = layers.length > 12 ? [layers[0], ...layers.slice(-6)] : layers;
  const button = (name, layer) => html("button", {
    type: "button", onclick: () => context.set({ values: { [name]: layer } }),
  }, layer);
  return ["source", "target"].map((name) => html("p.choices", { style: { "margin-top": ".5rem" } },
    html("span.quiet", null, name === "source" ? "From " : "To "), some.map(({ layer }) => button(name, layer))));
}

function show(body, context, layers, answer, source, target) {
  const paths = answer.records().map((record) => ({ ...record, steps: record.path.map((each) => placed(each, layers)) }));
  const { neurons, links } = merged(paths);
  const drawn = new Drawn({
    layers, neurons, links,
    colours: byPaths(neurons),
    label: `${paths.length} paths from ${source} to ${target} through ${neurons.length} neurons.`,
    height: "clamp(300px, 52vh, 620px)",
    named: true,
    open: ({ layer, neuron }) => goTo(`${layer}/${neuron}`),
    leave: () => light(null),
    status: context.status,
  }, context.signal);
  const goTo = (neuron) => context.set({ panel: "neurons", network: context.network, values: { neuron } });
  const light = (rank) => {
    const lit = rank === null ? null : paths[rank - 1];
    drawn.light(lit && ((link) => link.ranks.includes(lit.rank)));
  };
  const rows = table(answer, {
    columns: ["rank", "product", "cost", "hops", "path", "weights"],
    titles: { rank: "Rank", product: "Product", cost: "Cost", hops: "Links", path: "Path", weights: "Weights" },
    cells: {
      path: (steps) => html("span", { style: { display: "inline-block", "min-width": "13rem" } }, steps.flatMap((each, number) => [number ? " → " : null, linkTo(each, context)])),
      weights: (weights) => weights.map(short).join(", "),
    },
    caption: `Paths from ${source} to ${target}`,
  });
  // Whoever goes through the table sees each path light up.
  const rankUnder = (event) => {
    const row = event.target.closest?.("tbody tr");
    return row ? Number(row.firstElementChild.textContent) : null;
  };
  for (const name of ["pointerover", "focusin"]) rows.addEventListener(name, (event) => light(rankUnder(event)));
  for (const name of ["pointerleave", "focusout"]) rows.addEventListener(name, () => light(null));
  const one = paths.length === 1;
  const sum = paths.reduce((total, { product }) => total + product, 0);
  context.status(`${paths.length} paths`);
  body.append(
    html("div.bar", null, html("span.quiet", null,
      `${count(paths.length)} path${one ? "" : "s"} from ${source} to ${target} through ${count(neurons.length)} neurons; `
      + `products sum to ${short(sum)}`)),
    drawn.element,
    html("div", { style: { "margin-top": "1.1rem" } }, rows),
    html("p.quiet", { style: { "margin-top": ".6rem" } }, answer.notes.find((note) => note.startsWith("cost")) ?? ""),
  );
  context.picture((kind) => drawn.picture(kind));
}

const linkTo = (neuron, { link, network }) => html("a", { href: link({ panel: "neurons", network, values: { neuron } }) }, neuron);

/** Layer and index of "fc1/12". */
function placed(address, layers) {
  const [name, index] = parts(address);
  const layer = layers.find((each) => each.layer === name);
  return { layer: layer.layer, layer_index: layer.layer_index, size: layer.size, neuron: Number(index) };
}

/** The neurons and links of all paths, each once, in the form that drawn.js wants. */
function merged(paths) {
  const neurons = new Map();
  const links = new Map();
  const empty = { step: null, channel: null, depth: null, row: null, col: null };
  for (const { rank, steps, weights } of paths) {
    steps.forEach((step, number) => {
      const key = keyOf(step.layer_index, step.neuron);
      if (!neurons.has(key)) neurons.set(key, { ...step, ...empty, paths: 0 });
      neurons.get(key).paths += 1;
      if (number === 0) return;
      const before = steps[number - 1];
      const name = `${keyOf(before.layer_index, before.neuron)} ${key} ${weights[number - 1]}`;
      if (!links.has(name)) {
        links.set(name, {
          source: before.layer, source_index: before.layer_index, source_neuron: before.neuron,
          target: step.layer, target_index: step.layer_index, target_neuron: step.neuron,
          weight: weights[number - 1], kind: "LINK", ranks: [],
        });
      }
      links.get(name).ranks.push(rank);
    });
  }
  const sorted = [...neurons.values()].sort((one, other) => one.layer_index - other.layer_index || one.neuron - other.neuron);
  return { neurons: sorted, links: [...links.values()] };
}

/** Neurons that more paths lead through are larger. */
function byPaths(neurons) {
  const most = Math.max(...neurons.map(({ paths }) => paths));
  return {
    name: "paths through it",
    colour: () => muted(),
    share: ({ paths }) => paths / most,
    text: ({ paths }) => count(paths),
    part: samples("Neurons", [{ text: "larger: more paths", colour: ink(), box: true }]),
  };
}
