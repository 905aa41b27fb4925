// Where the neurons of a drawn network stand: layers from left to right, dense layers as columns,
// feature maps as grids, and the curves that links run along.

import { layered } from "weightome/layering.js";

const PITCH = 13;
const WIDE_PITCH = 27;
const NAMED_PITCH = 34;
const COLUMN = 32;
const TALLEST = 460;
const CAPTION = 40;
const BACK = 36;

/** Names a neuron among all of a network. */
export const keyOf = (layerIndex, neuron) => `${layerIndex}/${neuron}`;

/**
 * @typedef {object} Spot
 * @property {number} x of its middle
 * @property {number} y
 * @property {number} size its radius, or the side of its cell
 * @property {boolean} cell whether it is one of a grid
 *
 * @typedef {object} Block the drawn neurons of one layer
 * @property {object} layer
 * @property {number} x of its left edge
 * @property {number} y of its top
 * @property {number} width
 * @property {number} height
 * @property {number[][]} frames of its grids, each [x, y, width, height]
 * @property {string} form such as "8 × 8" where it is a grid
 */

/**
 * Places the neurons.
 *
 * @param {object[]} layers records of the question `layers`; those without drawn neurons are left out
 * @param {object[]} neurons records of `drawn-neurons`
 * @param {number} aspect width / height that the drawing should have
 * @param {boolean} named whether neurons stand in columns only, with room for their names
 * @returns {{spots: Map<string, Spot>, blocks: Block[], curve: Function, bounds: object}}
 */
export function placed(layers, neurons, aspect, named = false) {
  const byLayer = new Map();
  for (const neuron of neurons) {
    if (!byLayer.has(neuron.layer_index)) byLayer.set(neuron.layer_index, []);
    byLayer.get(neuron.layer_index).push(neuron);
  }
  const shown = layers.filter(({ layer_index: index }) => byLayer.has(index));
  const parts = new Map(shown.map((layer) => {
    const inside = byLayer.get(layer.layer_index);
    return [layer.layer, named ? inColumns(inside, NAMED_PITCH) : arranged(layer, inside)];
  }));
  const plan = layered(
    shown.map(({ layer, layer_index: order }) => ({ id: layer, order, width: parts.get(layer).height + CAPTION })),
    shown.flatMap(({ layer: target, fed_by: sources }) => sources
      .filter((source) => parts.has(source)).map((source) => ({ source, target }))),
    28,
  );
  const lefts = columns(plan, parts, aspect);
  const spots = new Map();
  const blocks = shown.map((layer) => {
    const part = parts.get(layer.layer);
    const { x: middle, row } = plan.places.get(layer.layer);
    const x = lefts[row].left + (lefts[row].width - part.width) / 2;
    const y = middle - part.height / 2 + CAPTION / 2;
    for (const { neuron, ...spot } of part.spots) {
      spots.set(keyOf(layer.layer_index, neuron), { ...spot, x: x + spot.x, y: y + spot.y });
    }
    const frames = part.frames.map(([left, top, ...size]) => [x + left, y + top, ...size]);
    return { layer, x, y, width: part.width, height: part.height, frames, form: part.form };
  });
  const last = lefts.at(-1) ?? { left: 0, width: 0 };
  const below = plan.routes.some(({ source, target, back }) => back && source !== target) ? BACK : 0;
  const bounds = { x: 0, y: 0, width: last.left + last.width, height: plan.width + below };
  return { spots, blocks, curve: curves(plan, blocks, lefts, spots, bounds), bounds };
}

/** Left edge and width of each column, far enough apart that the drawing has the wanted shape. */
function columns(plan, parts, aspect) {
  const widths = plan.rows.map((names) => Math.max(0, ...names.map((name) => parts.get(name).width)));
  const taken = widths.reduce((sum, width) => sum + width, 0);
  const free = (plan.width * aspect - taken) / Math.max(1, widths.length - 1);
  const gap = Math.min(300, Math.max(widths.length > 8 ? 46 : 64, free));
  let left = 0;
  return widths.map((width) => {
    const column = { left, width };
    left += width + gap;
    return column;
  });
}

/** The neurons of one layer around (0, 0): as maps, as the image that an input may be, as columns. */
function arranged(layer, neurons) {
  const axes = ["step", "depth", "channel", "row", "col"].filter((name) => neurons[0][name] !== null);
  if (axes.length > 1) return maps(axes, neurons);
  const side = Math.sqrt(layer.size);
  if (layer.kind === "input" && layer.size >= 36 && Number.isInteger(side)) {
    const pixels = neurons.map((neuron) => ({
      neuron: neuron.neuron, row: Math.floor(neuron.neuron / side), col: neuron.neuron % side,
    }));
    return grids([pixels], side, side, `${side} × ${side}`);
  }
  return inColumns(neurons);
}

function maps(axes, neurons) {
  const [rowAxis, colAxis] = axes.slice(-2);
  const rows = ranks(neurons, rowAxis);
  const cols = ranks(neurons, colAxis);
  const outer = axes.slice(0, -2);
  const found = new Map();
  for (const neuron of neurons) {
    const map = outer.map((name) => neuron[name]).join(" ");
    if (!found.has(map)) found.set(map, []);
    found.get(map).push({
      neuron: neuron.neuron, row: rows.get(neuron[rowAxis]), col: cols.get(neuron[colAxis]),
    });
  }
  const form = [...(outer.length ? [found.size] : []), rows.size, cols.size].join(" × ");
  return grids([...found.values()], rows.size, cols.size, form);
}

function ranks(neurons, axis) {
  const values = [...new Set(neurons.map((neuron) => neuron[axis]))].sort((one, other) => one - other);
  return new Map(values.map((value, rank) => [value, rank]));
}

function grids(all, rows, cols, form) {
  const side = all.length === 1 ? 220 : 84;
  const cell = Math.min(all.length === 1 ? 22 : 14, Math.max(4, Math.floor(side / Math.max(rows, cols))));
  const width = cols * cell;
  const height = rows * cell;
  const between = 8;
  const most = Math.max(1, Math.floor((TALLEST + between) / (height + between)));
  const wide = Math.ceil(all.length / most);
  const tall = Math.ceil(all.length / wide);
  const frames = [];
  const spots = all.flatMap((map, number) => {
    const left = Math.floor(number / tall) * (width + between);
    const top = (number % tall) * (height + between);
    frames.push([left, top, width, height]);
    return map.map(({ neuron, row, col }) => (
      { neuron, x: left + (col + 0.5) * cell, y: top + (row + 0.5) * cell, size: cell, cell: true }));
  });
  return {
    spots, frames, form,
    width: wide * (width + between) - between, height: tall * (height + between) - between,
  };
}

function inColumns(neurons, widest = WIDE_PITCH) {
  // Long columns become wide ones: about three times as tall as wide.
  const most = Math.max(COLUMN, Math.ceil(Math.sqrt(3 * neurons.length)));
  const wide = Math.ceil(neurons.length / most);
  const tall = Math.ceil(neurons.length / wide);
  const pitch = Math.max(PITCH, Math.min(widest, (COLUMN * PITCH) / tall));
  const across = wide > 1 ? pitch : 2 * PITCH;
  const spots = neurons.map(({ neuron }, number) => ({
    neuron, size: 4.6 + (pitch - PITCH) * 0.14, cell: false,
    x: (Math.floor(number / tall) + 0.5) * across, y: ((number % tall) + 0.5) * pitch,
  }));
  return { spots, frames: [], form: "", width: wide * across, height: tall * pitch };
}

/** From two neurons to the numbers of the curve between them, see scene.js. */
function curves(plan, blocks, lefts, spots, bounds) {
  const byIndex = new Map(blocks.map((block) => [block.layer.layer_index, block]));
  const routes = new Map(plan.routes.map((route) => [`${route.source}\n${route.target}`, route]));
  const middle = (row) => lefts[row].left + lefts[row].width / 2;
  return (source, target) => {
    const from = spots.get(keyOf(...source));
    const to = spots.get(keyOf(...target));
    const [out, into] = [byIndex.get(source[0]), byIndex.get(target[0])];
    if (out === into) return within(from, to, out);
    const route = routes.get(`${out.layer.layer}\n${into.layer.layer}`);
    if (!route || route.back) return back(from, to, bounds);
    // Links that pass other layers keep together, but not on one line.
    const share = (from.y - out.y) / Math.max(1, out.height) - 0.5;
    const between = route.points.slice(1, -1).map(({ x, row }) => [middle(row), x + share * 10]);
    return through([[from.x, from.y], ...between, [to.x, to.y]]);
  };
}

function through(points) {
  const curve = [...points[0]];
  points.slice(1).forEach(([x, y], number) => {
    const [before, height] = points[number];
    const bend = (x - before) * 0.38;
    curve.push(before + bend, height, x - bend, y, x, y);
  });
  return curve;
}

function within(from, to, { x, width }) {
  const right = x + width + 26 + Math.abs(to.y - from.y) * 0.12;
  return [from.x, from.y, right, from.y, right, to.y, to.x, to.y];
}

function back(from, to, { height }) {
  const low = height - 8;
  const [near, far] = [from.x + 46, to.x - 46];
  const half = (from.x + to.x) / 2;
  return [from.x, from.y, near, from.y, near, low, half, low, far, low, far, to.y, to.x, to.y];
}
