// The layers of a network and what feeds what, with the facts of the one that is chosen.

import { path } from "weightome/api.js";
import { isBlock, openedAtFirst, tree } from "weightome/blocks.js";
import { catalogue } from "weightome/catalogue.js";
import { paper } from "weightome/colours.js";
import { diagram, linksInto, neuronsOf } from "weightome/diagram.js";
import { pictureOf } from "weightome/download.js";
import { html } from "weightome/element.js";
import { facts } from "weightome/facts.js";
import { histogram } from "weightome/histogram.js";
import { count, short, shown } from "weightome/numbers.js";
import { explained } from "weightome/problems.js";

const NONE = "-";

export default {
  id: "architecture",
  title: "Architecture",
  about: "network",
  summary: "The layers and what feeds what. Choose a layer for its facts; a block opens by Enter or a double click.",
  controls: [],
  async render(body, context) {
    const answer = await context.ask(path`/v1/networks/${context.network}/layers`);
    const root = tree(answer.records());
    const view = new View(root, context);
    body.append(view.element);
    view.reveal();
    context.picture((kind) => pictureOf(view.picture(), kind, paper()));
    context.status(`${answer.length} layers`);
  },
};

/** The drawing and the facts beside it. */
class View {
  constructor(root, context) {
    this._root = root;
    this._context = context;
    this._opened = opened(context.values.open, root);
    this._selected = context.values.layer ?? "";
    this._revealSelected();
    this._drawing = html("div.drawing", { tabindex: "-1" });
    this._facts = html("aside.beside", { "aria-label": "Facts", "aria-live": "polite" });
    this._bar = html("div.bar");
    this.element = html("div.architecture", null,
      html("div", null, this._bar, this._drawing), this._facts);
    this._draw();
    this._tell();
  }

  /** Brings the chosen card into sight, without moving the page. */
  reveal() {
    const card = this._drawing.querySelector('[aria-pressed="true"]');
    if (!card) return;
    const [place, frame] = [card.getBoundingClientRect(), this._drawing.getBoundingClientRect()];
    this._drawing.scrollTop += place.top - frame.top - frame.height / 3;
    this._drawing.scrollLeft += place.left - frame.left - (frame.width - place.width) / 2;
  }

  picture() {
    return this._drawing.querySelector("svg");
  }

  _draw() {
    const blocks = allBlocks(this._root);
    const drawing = this._drawing;
    const { scrollTop, scrollLeft } = drawing;
    drawing.replaceChildren(diagram(this._root, this._opened, {
      selected: this._selected,
      select: (block) => this._select(block),
      toggle: (which) => this._toggle(which),
    }));
    Object.assign(drawing, { scrollTop, scrollLeft });
    const toggleAll = (open) => {
      this._opened = new Set(open ? blocks.map((block) => block.path) : []);
      this._draw();
      this._keep();
    };
    const button = (text, open, disabled) => (
      html("button", { type: "button", disabled, onclick: () => toggleAll(open) }, text));
    this._bar.replaceChildren(
      html("span.quiet", null, `${count(this._root.layers.length)} layers`),
      ...(blocks.length === 0 ? [] : [
        button("Open all blocks", true, this._opened.size === blocks.length),
        button("Close all blocks", false, this._opened.size === 0),
      ]),
      html("span.legend", { "aria-hidden": "true" }, html("i.bar-sample"), "learned links"),
    );
  }

  _toggle(which) {
    const opening = !this._opened.has(which);
    if (opening) this._opened.add(which);
    else this._opened.delete(which);
    this._draw();
    const cards = [...this._drawing.querySelectorAll(".card")];
    const inside = cards.find(({ dataset }) => dataset.path.startsWith(which));
    inside?.focus();
    this._context.status(`${which} is ${opening ? "open" : "closed"}`);
    this._keep();
  }

  _select(block) {
    this._selected = this._selected === block.path ? "" : block.path;
    for (const card of this._drawing.querySelectorAll(".card")) {
      card.setAttribute("aria-pressed", String(card.dataset.path === this._selected));
    }
    this._keep();
    this._tell();
  }

  /** Opens what hides the layer that a link asks for. */
  _revealSelected() {
    for (const block of allBlocks(this._root)) {
      const holds = block.layers.some(({ layer }) => layer === this._selected);
      if (holds && block.path !== this._selected) this._opened.add(block.path);
    }
  }

  _keep() {
    const first = openedAtFirst(this._root);
    const asAtFirst = first.size === this._opened.size && [...first].every((each) => this._opened.has(each));
    const open = [...this._opened].map(encodeURIComponent).join(",") || NONE;
    const values = { open: asAtFirst ? "" : open, layer: this._selected };
    this._context.set({ values }, { replace: true, render: false });
  }

  _tell() {
    for (const line of this._drawing.querySelectorAll(".link")) {
      const ends = [line.dataset.source, line.dataset.target];
      line.classList.toggle("near", ends.includes(this._selected));
    }
    const block = find(this._root, this._selected);
    if (block === null) tellNetwork(this._facts, this._root, this._context);
    else if (isBlock(block)) tellBlock(this._facts, block, () => this._toggle(block.path), this._opened);
    else tellLayer(this._facts, block.layer, this._sources(block.layer), this._context, (name) => this._go(name));
  }

  _sources({ fed_by: names }) {
    return this._root.layers.filter(({ layer }) => names.includes(layer));
  }

  _go(name) {
    this._selected = name;
    this._revealSelected();
    this._draw();
    this._keep();
    this._tell();
    this.reveal();
    this._drawing.querySelector('[aria-pressed="true"]')?.focus({ preventScroll: true });
  }
}

async function tellNetwork(place, root, context) {
  const of = (await catalogue()).find(({ network }) => network === context.network);
  const block = { layers: root.layers };
  context.signal.throwIfAborted();
  place.replaceChildren(
    html("h2", null, context.network),
    facts([
      ["Run", of?.run && html("a", { href: context.link({ panel: "dynamics", run: of.run }) }, of.run)],
      ["Step", of?.step],
      ...Object.entries(of?.metrics ?? {}).map(([name, value]) => [name, short(value)]),
      ["Layers", count(root.layers.length)],
      ["Neurons", count(neuronsOf(block))],
      ["Learned links", count(linksInto(block))],
      ["Fixed links", of?.wires ? count(of.wires) : null],
      ["Parameters", of && count(of.parameters)],
      ["View", of?.view],
      ["Format", of?.source],
      ["Stored", of?.created?.replace("T", " ").replace(/(:\d\d)(\.\d+)?(Z|\+00:00)?$/, "$1 UTC")],
    ]),
    html("div.buttons", null,
      go(context, "neurons", "Draw its neurons"), go(context, "distributions", "Weights and strengths")),
  );
}

function tellBlock(place, block, toggle, opened) {
  place.replaceChildren(
    html("h2", null, block.path),
    facts([
      ["Layers", count(block.layers.length)],
      ["Neurons", count(neuronsOf(block))],
      ["Learned links", count(linksInto(block))],
      ["Kinds", [...new Set(block.layers.map(({ kind }) => kind))].join(", ")],
    ]),
    html("div.buttons", null, html("button.primary", { type: "button", onclick: toggle },
      opened.has(block.path) ? "Close the block" : "Open the block")),
  );
}

function tellLayer(place, layer, sources, context, chosen) {
  const indices = [...new Set([...sources, layer].map((each) => each.layer_index))];
  const links = html("div.weights");
  place.replaceChildren(
    html("h2", null, layer.layer),
    facts([
      ["Kind", layer.kind],
      ["Activation", layer.activation === "identity" ? null : layer.activation],
      ["Shape", layer.shape?.length ? shown(layer.shape) : null],
      ["Neurons", count(layer.size)],
      ["Biases", layer.biased ? "yes" : "none"],
      ["Learned links into it", count(layer.links_in)],
      ["Fixed links into it", layer.wires_in ? count(layer.wires_in) : null],
      ["Fed by", layer.fed_by.length ? html("span.names", null, layer.fed_by.map((name) => (
        html("button.link", { type: "button", onclick: () => chosen(name) }, name)))) : null],
    ]),
    html("div.buttons", null,
      go(context, "neurons", "Neurons", { layers: indices.join(",") }),
      layer.links_in && sources.length
        ? go(context, "matrix", "Weights", { pair: `${sources[0].layer_index}-${layer.layer_index}` }) : null,
      layer.links_in ? go(context, "distributions", "Distributions", { layer: layer.layer }) : null),
    links,
  );
  if (layer.links_in) tellWeights(links, layer.layer, context);
}

async function tellWeights(place, layer, context) {
  place.replaceChildren(html("p.quiet", null, "Counting its weights …"));
  try {
    const where = path`/v1/networks/${context.network}/histogram`;
    const bins = (await context.ask(where, { layer, bins: 40 })).records();
    const all = await context.ask(path`/v1/networks/${context.network}/links`);
    const statistics = all.records().find((record) => record.layer === layer);
    place.replaceChildren(
      html("h3", null, "Weights of the links into it"),
      histogram(bins, { described: `Histogram of ${statistics.links} weights` }),
      html("div.ends", { "aria-hidden": "true" },
        html("span", null, short(bins[0].low)), html("span", null, short(bins.at(-1).high))),
      facts([
        ["Mean", short(statistics.mean)],
        ["Standard deviation", short(statistics.std)],
        ["Median", short(statistics.median)],
        ["90 % lie in", `${short(statistics.q05)} to ${short(statistics.q95)}`],
      ]),
    );
  } catch (error) {
    if (context.signal.aborted) return;
    place.replaceChildren(explained(error, () => tellWeights(place, layer, context)));
  }
}

function go(context, panel, text, values = {}) {
  const { network } = context;
  return html("a.button", { href: context.link({ panel, network, values }) }, text);
}

function opened(text, root) {
  if (!text) return openedAtFirst(root);
  return new Set(text === NONE ? [] : text.split(",").map(decodeURIComponent));
}

function allBlocks(block) {
  return block.blocks.filter(isBlock).flatMap((each) => [each, ...allBlocks(each)]);
}

function find(block, wanted) {
  for (const each of block.blocks) {
    const found = each.path === wanted ? each : find(each, wanted);
    if (found) return found;
  }
  return null;
}
