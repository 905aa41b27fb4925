// The network drawn neuron by neuron: a few of each layer, picked by the server, and the strongest
// links between them.

import { path } from "weightome/api.js";
import { card } from "weightome/card.js";
import { Drawn } from "weightome/drawn.js";
import { html } from "weightome/element.js";
import { asked, colouring, offered, title } from "weightome/measures.js";
import { count, short } from "weightome/numbers.js";
import { Picks } from "weightome/picks.js";
import { keyOf } from "weightome/placing.js";

const MOST_ROWS = 20_000;

export default {
  id: "neurons",
  title: "Neurons",
  about: "network",
  summary: "A few neurons of each layer and the strongest links between them; choose one to see its links.",
  controls: [
    { name: "measure", label: "Colour", kind: "choice", options: offered, default: "total" },
    {
      name: "pick", label: "Neurons", kind: "choice", default: "even",
      options: [{ value: "even", label: "evenly spaced" }, { value: "strongest", label: "greatest |value|" }],
    },
    { name: "per_layer", label: "Per layer, at most", kind: "number", min: 1, max: 1024, default: 64 },
    { name: "k", label: "Strongest links", kind: "number", min: 1, max: 5000, default: 300 },
    {
      name: "evenly", label: "Evenly between layers", kind: "toggle", default: true,
      hint: "The strongest between each two layers, instead of the strongest of all.",
    },
    {
      name: "sign", label: "Sign", kind: "choice", default: "both", options: ["both", "positive", "negative"],
    },
    { name: "wires", label: "Fixed links", kind: "toggle", default: true, hint: "Residual sums, pools and gates." },
    { name: "neuron", label: "Find a neuron", kind: "text", placeholder: "fc1/12", default: "" },
  ],
  async render(body, context) {
    const { network, values } = context;
    const of = (question) => path`/v1/networks/${network}/` + question;
    const layers = (await context.ask(of("layers"))).records();
    const chosen = chosenLayers(values.layers, layers);
    const picking = {
      ...asked(values.measure), layers: chosen, per_layer: values.per_layer, pick: values.pick, limit: MOST_ROWS,
    };
    const [neurons, links] = await Promise.all([
      context.ask(of("drawn-neurons"), picking),
      context.ask(of("drawn-links"), {
        ...picking, k: values.k, evenly: values.evenly, sign: values.sign, wires: values.wires,
      }),
    ]);
    show(body, context, { layers, chosen, neurons: neurons.records(), links: links.records() });
  },
};

function show(body, context, { layers, chosen, neurons, links }) {
  const { values } = context;
  const beside = html("aside.beside", { "aria-label": "Neuron", style: { flex: "1 1 17rem", "min-width": "0" } });
  beside.hidden = true;
  const open = (neuron) => choose(neuron, { keep: true });
  const drawn = new Drawn({
    layers, neurons, links,
    colours: { name: title(values.measure), ...colouring(neurons, values.measure) },
    label: `${count(neurons.length)} neurons of ${context.network} and ${count(links.length)} links.`,
    open: ({ layer, neuron }) => open(`${layer}/${neuron}`),
    leave: () => choose("", { keep: true }),
    status: context.status,
  }, context.signal);
  const told = html("span.quiet");
  const picks = new Picks(context);
  const slider = threshold(drawn, Number(values.least) || 0, (least, done) => {
    drawn.limit(least);
    tell();
    if (done) context.set({ values: { least: least || undefined } }, { replace: true, render: false });
  });
  const tell = () => {
    const fixed = links.filter(({ kind }) => kind === "WIRE").length;
    const [seen, all] = [drawn.visible - fixed, links.length - fixed];
    told.textContent = `${count(neurons.length)} neurons, ${seen < all ? `${count(seen)} of ` : ""}`
      + `${count(all)} links${fixed ? `, ${count(fixed)} fixed` : ""}`;
  };

  async function choose(neuron, { keep = false } = {}) {
    // Another one may be chosen before this one's card has come.
    beside.dataset.neuron = neuron;
    if (keep) context.set({ values: { neuron: neuron || undefined } }, { render: false });
    const about = neurons.find((each) => `${each.layer}/${each.neuron}` === neuron);
    const key = about ? keyOf(about.layer_index, about.neuron) : null;
    drawn.choose(key);
    beside.hidden = neuron === "";
    if (neuron === "") return;
    beside.replaceChildren(html("h2", null, neuron), html("p.quiet", null, "One moment …"));
    const { element, links: own } = await cardOr(context, neuron, about, {
      open, close: () => choose("", { keep: true }), picks,
    });
    if (context.signal.aborted || beside.dataset.neuron !== neuron) return;
    beside.replaceChildren(element);
    if (about) drawn.choose(key, own.map((link) => between(about, link, layers)));
  }

  body.append(
    html("div.bar", null, told, slider, picker(layers, chosen, context), picks.element),
    html("div", { style: { display: "flex", "flex-wrap": "wrap", gap: "1.1rem", "align-items": "flex-start" } },
      html("div", { style: { flex: "1000 1 min(34rem, 100%)", "min-width": "0", "max-width": "100%" } }, drawn.element), beside),
  );
  drawn.limit(Number(values.least) || 0);
  tell();
  context.status(told.textContent);
  context.picture((kind) => drawn.picture(kind));
  if (values.neuron) choose(values.neuron);
}

async function cardOr(context, neuron, about, how) {
  const more = about
    ? [[title(context.values.measure), colouring([about], context.values.measure).text(about)]]
    : [["Drawn", "not among the neurons of the picture"]];
  const own = ["total", "in", "out", "bias"].includes(context.values.measure);
  try {
    return await card(context, neuron, { ...how, more: about && own ? [] : more });
  } catch (error) {
    // Whoever left before it came does not want it any more.
    if (context.signal.aborted) return { element: html("p"), links: [] };
    if (error.name !== "Problem") throw error;
    return { element: html("p.problem", { role: "alert" }, error.message), links: [] };
  }
}

/** A record of the question `neuron` as one of `drawn-links`. */
function between(about, { direction, layer, neuron, weight }, layers) {
  const other = [layer, layers.find((each) => each.layer === layer).layer_index, neuron];
  const self = [about.layer, about.layer_index, about.neuron];
  const [[source, source_index, source_neuron], [target, target_index, target_neuron]] = (
    direction === "in" ? [other, self] : [self, other]);
  return { source, source_index, source_neuron, target, target_index, target_neuron, weight, kind: "LINK" };
}

function threshold(drawn, least, changed) {
  const { greatest } = drawn;
  const output = html("output", { style: { "min-width": "3.5em", "font-variant-numeric": "tabular-nums" } }, short(least));
  const input = html("input", {
    type: "range", name: "least", min: 0, max: greatest || 1, step: (greatest || 1) / 400, style: { width: "min(180px, 40vw)" },
  });
  input.value = String(least);
  const tell = (done) => {
    output.textContent = short(Number(input.valueAsNumber.toPrecision(3)));
    changed(input.valueAsNumber, done);
  };
  input.addEventListener("input", () => tell(false));
  input.addEventListener("change", () => tell(true));
  return html("label", { style: { display: "inline-flex", gap: "8px", "align-items": "center" } }, "|w| at least", input, output);
}

/** Names of the layers whose indices the address has; none: all. */
function chosenLayers(text, layers) {
  const indices = (text ?? "").split(",").filter(Boolean).map(Number);
  return layers.filter(({ layer_index: index }) => indices.includes(index)).map(({ layer }) => layer);
}

/** Which layers are drawn; in the address by their indices, since names may hold anything. */
function picker(layers, chosen, context) {
  const boxes = layers.map(({ layer, layer_index: index }) => {
    const box = html("input", { type: "checkbox", value: index });
    box.checked = chosen.length === 0 || chosen.includes(layer);
    return html("label", { style: { display: "block", "overflow-wrap": "anywhere" } }, box, ` ${layer}`);
  });
  const all = () => boxes.map((label) => label.firstChild);
  const apply = () => {
    const indices = all().filter(({ checked }) => checked).map(({ value }) => value);
    const every = indices.length === 0 || indices.length === layers.length;
    context.set({ values: { layers: every ? undefined : indices.join(",") } });
  };
  const mark = (checked) => all().forEach((box) => (box.checked = checked));
  const button = (text, act) => html("button", { type: "button", onclick: act }, text);
  const said = `Layers: ${chosen.length || layers.length} of ${layers.length}`;
  return html("details.menu", null, html("summary", null, said), html("div", {
    style: { "max-height": "50vh", overflow: "auto", "min-width": "200px" },
  },
    html("p", { style: { display: "flex", gap: "6px", margin: "0 0 6px" } },
      button("All", () => mark(true)), button("None", () => mark(false)), button("Draw", apply)),
    boxes));
}
