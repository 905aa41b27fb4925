// The weights from one layer to another as a heat map, each cell the links between neighbouring
// neurons; the server gathers them, however many there are.

import { path } from "weightome/api.js";
import { accent, ink, line, muted, paper, sequential, signColour } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { bar, heightOf, legend } from "weightome/legend.js";
import { count, short } from "weightome/numbers.js";
import { fitted, pictured } from "weightome/scene.js";
import { Viewport } from "weightome/viewport.js";

const CELLS = 128;
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const VALUES = [
  { value: "mean", label: "mean weight" },
  { value: "absolute", label: "mean |weight|" },
  { value: "greatest", label: "weight of greatest |w|" },
];

export default {
  id: "matrix",
  title: "Weight matrix",
  about: "network",
  summary: "The weights from one layer to another: sources down, targets across, links of neighbours gathered in cells.",
  controls: [
    { name: "pair", label: "Layers", kind: "choice", options: pairs, default: "" },
    { name: "of", label: "Cell", kind: "choice", options: VALUES, default: "mean" },
    { name: "cells", label: "Cells, at most, a side", kind: "number", min: 1, max: 256, default: CELLS },
    { name: "wires", label: "Fixed links", kind: "toggle", default: false, hint: "Residual sums, pools and gates." },
  ],
  async render(body, context) {
    const { network, values } = context;
    const layers = (await context.ask(path`/v1/networks/${network}/layers`)).records();
    const pair = chosenPair(values.pair, layers);
    if (pair === null) {
      context.empty("No layer of this network feeds another one.");
      return;
    }
    const [source, target] = pair;
    const answer = await context.ask(path`/v1/networks/${network}/weight-matrix`, {
      source: source.layer, target: target.layer, rows: values.cells, columns: values.cells,
      of: values.of, wires: values.wires, limit: values.cells ** 2,
    });
    if (answer.length === 0) {
      context.empty(
        `No ${values.wires ? "" : "learned "}link leads from ${source.layer} to ${target.layer}.`,
        values.wires ? null : html("p.quiet", null, "Fixed links can be counted too: see above."),
      );
      return;
    }
    show(body, context, new Matrix(source, target, answer.records(), values));
  },
};

/** All pairs of layers of which one feeds the other; in the address by their indices. */
async function pairs(context) {
  const answer = await context.ask(path`/v1/networks/${context.network}/layers`);
  const all = found(answer.records());
  const usual = first(all);
  return all.map((pair) => (
    { value: pair === usual ? "" : named(pair), label: `${pair[0].layer} → ${pair[1].layer}` }));
}

const named = ([source, target]) => `${source.layer_index}-${target.layer_index}`;
// The first that has learned links.
const first = (all) => all.find(([, target]) => target.links_in > 0) ?? all[0] ?? null;

function found(layers) {
  const byName = new Map(layers.map((layer) => [layer.layer, layer]));
  return layers.flatMap((target) => target.fed_by.map((source) => [byName.get(source), target]));
}

function chosenPair(text, layers) {
  const all = found(layers);
  return all.find((pair) => named(pair) === text) ?? first(all);
}

/** A matrix of cells, and how large each is on the screen. */
class Matrix {
  constructor(source, target, cells, { cells: most, of, wires }) {
    Object.assign(this, { source, target, of, wires });
    this.rows = Math.min(most, source.size);
    this.columns = Math.min(most, target.size);
    this.cells = new Map(cells.map((cell) => [`${cell.row} ${cell.column}`, cell]));
    this.greatest = Math.max(0, ...cells.map(({ value }) => Math.abs(value)));
    this.links = cells.reduce((sum, cell) => sum + cell.links, 0);
    this.signed = of !== "absolute";
    // Narrow matrices have wide cells, so that both sides can be seen.
    const stretch = (here, there) => Math.min(4, Math.max(1, (0.45 * there) / here));
    this.width = 5 * stretch(this.columns, this.rows);
    this.height = 5 * stretch(this.rows, this.columns);
    this.bounds = { x: 0, y: 0, width: this.columns * this.width, height: this.rows * this.height };
  }

  at(row, column) {
    return this.cells.get(`${row} ${column}`) ?? null;
  }

  colour({ value }) {
    if (this.signed) return signColour(value, this.greatest);
    return sequential(this.greatest > 0 ? value / this.greatest : 0);
  }

  under([x, y]) {
    const [row, column] = [Math.floor(y / this.height), Math.floor(x / this.width)];
    const inside = row >= 0 && row < this.rows && column >= 0 && column < this.columns;
    return inside ? [row, column] : null;
  }
}

function show(body, context, matrix) {
  const { source, target } = matrix;
  let here = null;
  let chosen = cellOf(context.values.cell, matrix);
  const part = bar(VALUES.find(({ value }) => value === matrix.of).label, matrix);
  const beside = html("aside.beside", { "aria-label": "Cell", "aria-live": "polite", style: { flex: "1 1 16rem", "min-width": "0" } });
  const viewport = new Viewport({
    bounds: () => matrix.bounds,
    margin: (width) => ({ left: 62, right: 46, top: 68, bottom: heightOf([part], width) + 14 }),
    label: `Weights from ${source.layer} to ${target.layer}: ${matrix.rows} × ${matrix.columns} cells. `
      + "Arrow keys move from cell to cell, Enter keeps one, + and − zoom.",
    height: "clamp(360px, 66vh, 760px)",
    marks: (view) => drawn(matrix, view, part, { here, chosen }),
    point: (point, view, click) => {
      here = point && matrix.under(point);
      if (click && here) keep(here);
      else tell();
      viewport.redraw();
    },
    key: (key) => {
      if (key === "Enter" || key === " ") {
        if (here) keep(here);
        return here !== null;
      }
      if (!(key in STEPS)) return false;
      const [down, right] = STEPS[key];
      const [row, column] = here ?? chosen ?? [0, 0];
      here = [
        Math.min(matrix.rows - 1, Math.max(0, row + down)), Math.min(matrix.columns - 1, Math.max(0, column + right)),
      ];
      viewport.reveal((here[1] + 0.5) * matrix.width, (here[0] + 0.5) * matrix.height);
      tell();
      return true;
    },
  }, context.signal);
  const keep = (cell) => {
    chosen = cell;
    tell();
    context.set({ values: { cell: cell.join("-") } }, { replace: true, render: false });
  };
  const tell = () => beside.replaceChildren(...told(here ?? chosen, matrix, context));
  tell();
  const { dataset } = viewport.canvas;
  dataset.cells = String(matrix.cells.size);
  dataset.greatest = String(matrix.greatest);
  const gathered = matrix.rows < source.size || matrix.columns < target.size;
  body.append(
    html("div.bar", null, html("span.quiet", null,
      `${count(matrix.links)} links from ${source.layer} (${count(source.size)}) to ${target.layer} (${count(target.size)}) in `
      + `${count(matrix.rows)} × ${count(matrix.columns)} cells${gathered ? "" : ", one for each two neurons"}`)),
    html("div", { style: { display: "flex", "flex-wrap": "wrap", gap: "1.1rem", "align-items": "flex-start" } },
      html("div", { style: { flex: "1000 1 min(30rem, 100%)", "min-width": "0", "max-width": "100%" } }, viewport.element), beside),
  );
  context.picture((kind) => {
    const { view } = viewport;
    const marks = drawn(matrix, view, part, { here: null, chosen });
    return pictured(kind, marks, { width: view.width, height: view.height, paper: paper() });
  });
}

function cellOf(text, matrix) {
  const [row, column] = (text ?? "").split("-").map(Number);
  return row < matrix.rows && column < matrix.columns ? [row, column] : null;
}

/** The marks of the picture, see scene.js: only what can be seen. */
function drawn(matrix, view, part, { here, chosen }) {
  const { source, target, width, height, rows, columns } = matrix;
  const at = (column, row) => [(column * width - view.x) * view.scale, (row * height - view.y) * view.scale];
  const box = (row, column, down = 1, across = 1) => {
    // Whole pixels, or seams show between the cells.
    const [left, top] = at(column, row).map(Math.round);
    const [right, bottom] = at(column + across, row + down).map(Math.round);
    return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
  };
  const marks = [{ box: box(0, 0, rows, columns), edge: line() }];
  for (const cell of matrix.cells.values()) {
    const place = box(cell.row, cell.column);
    const seen = place[0] < view.width && place[1] < view.height && place[0] + place[2] > 0 && place[1] + place[3] > 0;
    if (seen) marks.push({ box: place, fill: matrix.colour(cell) });
  }
  const frame = ([row, column], colour) => {
    const [left, top, across, down] = box(row, column);
    marks.push({ box: [left - 1, top - 1, across + 2, down + 2], edge: colour }, { box: [left - 2, top - 2, across + 4, down + 4], edge: paper() });
  };
  if (chosen) frame(chosen, accent());
  if (here) frame(here, ink());
  const [left, top] = at(0, 0);
  const [right, bottom] = at(columns, rows);
  const words = (text, x, y, more = {}) => ({ words: text, at: [x, y], size: 11, colour: muted(), halo: paper(), ...more });
  const name = (text, most) => fitted(text, 12, Math.max(60, most), true);
  marks.push(
    words(name(`${target.layer} →`, right - left), Math.max(8, left), Math.max(14, top - 26), { size: 12, bold: true, colour: ink() }),
    words("0", left, top - 7), words(count(target.size - 1), right, top - 7, { align: "end" }),
    words(name(`${source.layer} →`, 240), left - 26, Math.max(70, top + 2), { size: 12, bold: true, colour: ink(), angle: 90 }),
    words("0", left - 7, top + 9, { align: "end" }), words(count(source.size - 1), left - 7, bottom, { align: "end" }),
    { box: [0, view.height - heightOf([part], view.width) - 4, view.width, 200], fill: paper(), opacity: 0.9 },
    ...legend([part], view.width, view.height),
  );
  return marks;
}

/** What is said of a cell. */
function told(place, matrix, context) {
  if (place === null) return [html("p.quiet", null, "Point at a cell, or move with the arrow keys, to see its weights.")];
  const [row, column] = place;
  const cell = matrix.at(row, column);
  const ranges = [
    ["From", neurons(matrix.source, row, matrix.rows, context)], ["To", neurons(matrix.target, column, matrix.columns, context)],
  ];
  const values = cell === null ? [["Links", "none"]] : cell.links === 1 ? [["Weight", short(cell.value)]] : [
    [VALUES.find(({ value }) => value === matrix.of).label, short(cell.value)],
    ["Links", count(cell.links)], ["Least", short(cell.least)], ["Greatest", short(cell.greatest)],
  ];
  return [
    html("h2", null, `Cell ${row}, ${column}`),
    html("dl.facts", null, [...ranges, ...values].map(([name, value]) => [html("dt", null, name), html("dd", null, value)])),
  ];
}

/** The neurons of a row or column, each end a link to its card. */
function neurons({ layer, size }, place, places, { link, network }) {
  const first = Math.ceil((place * size) / places);
  const last = Math.ceil(((place + 1) * size) / places) - 1;
  const to = (index) => html("a", { href: link({ panel: "neurons", network, values: { neuron: `${layer}/${index}` } }) }, `${layer}/${index}`);
  return first === last ? to(first) : html("span", null, to(first), " to ", to(last));
}
