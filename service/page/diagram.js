// The layers of a network and what feeds what, as an SVG of cards from top to bottom.

import { edges, first, isBlock, openBlocks, visible } from "weightome/blocks.js";
import { series } from "weightome/colours.js";
import { svg } from "weightome/element.js";
import { layered } from "weightome/layering.js";
import { compact, shown } from "weightome/numbers.js";

const CARD = { width: 236, height: 54 };
const BETWEEN = { rows: 30, cards: 26, titles: 24 };
const PADDING = 26;
const NAME_LENGTH = 27;
const LEAST_SCALE = 0.65;

// Of the stripe on a card, by what the layer does; all others have the last one's.
const FAMILIES = [
  ["learned links", /linear|conv|matmul|embedding|einsum|bilinear/],
  ["norm", /norm/],
  ["attention", /attention|softmax/],
  ["recurrent", /rnn|lstm|gru|cell/],
  ["pooling", /pool|reduce/],
];

/**
 * @param {object} root the tree of blocks
 * @param {Set<string>} opened paths of the blocks that are open
 * @param {{selected: string, select: (block) => void, toggle: (path: string) => void}} how
 * @returns {SVGElement} cards are buttons in one tab stop; the arrow keys go from one to the next
 */
export function diagram(root, opened, { selected, select, toggle }) {
  const drawn = visible(root, opened);
  const open = openBlocks(root, opened);
  const nodes = drawn.map((block) => ({ id: block.path, order: first(block), width: CARD.width }));
  const drawing = layered(nodes, edges(drawn), BETWEEN.cards);
  const titled = rowsWithTitles(drawing, open);
  const tops = [];
  let height = PADDING;
  for (let row = 0; row < drawing.rows.length; row += 1) {
    height += (titled.get(row) ?? 0) * BETWEEN.titles;
    tops.push(height);
    height += CARD.height + BETWEEN.rows;
  }
  const width = drawing.width + 2 * PADDING + 2 * 8 * depth(open);
  const left = PADDING + 8 * depth(open);
  const at = ({ x, row }) => ({ x: x + left, top: tops[row], bottom: tops[row] + CARD.height });
  const most = Math.max(1, ...drawn.map(linksInto));

  const cards = drawn.map((block) => card(block, at(drawing.places.get(block.path)), most));
  const picture = svg("svg.diagram", {
    viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`, width: Math.ceil(width), height: Math.ceil(height),
    style: { "min-width": `${Math.ceil(width * LEAST_SCALE)}px` },
    role: "group", "aria-label": `Layers, ${drawn.length} cards; arrow keys go from one to the next`,
  },
  outlines(open, drawing, at, toggle),
  drawing.routes.map((route) => line(route, at)),
  cards);

  cards.forEach((element, index) => {
    const block = drawn[index];
    const chosen = block.path === selected;
    element.setAttribute("aria-pressed", String(chosen));
    element.addEventListener("click", () => select(block));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        if (isBlock(block)) toggle(block.path);
        else select(block);
        return;
      }
      const next = neighbour(event.key, block.path, drawing.rows);
      if (next === null) return;
      event.preventDefault();
      cards[drawn.findIndex(({ path }) => path === next)].focus();
    });
    element.addEventListener("dblclick", () => isBlock(block) && toggle(block.path));
    element.addEventListener("focus", () => {
      cards.forEach((other) => other.setAttribute("tabindex", other === element ? "0" : "-1"));
    });
  });
  const start = drawn.findIndex(({ path }) => path === selected);
  cards[Math.max(start, 0)]?.setAttribute("tabindex", "0");
  return picture;
}

/** Learned links that end in a layer, or in all of a block. */
export const linksInto = ({ layers }) => layers.reduce((sum, layer) => sum + layer.links_in, 0);

/** Neurons of a layer, or of all of a block. */
export const neuronsOf = ({ layers }) => layers.reduce((sum, layer) => sum + layer.size, 0);

function card(block, { x, top }, most) {
  const links = linksInto(block);
  const left = x - CARD.width / 2;
  const bar = Math.sqrt(links / most) * (CARD.width - 24);
  const said = isBlock(block)
    ? `block ${block.path}, ${block.layers.length} layers, ${compact(links)} links; Enter opens it`
    : `layer ${block.path}, ${describe(block.layer)}, ${compact(links)} links`;
  return svg("g", {
    class: isBlock(block) ? "card block" : "card", role: "button", tabindex: "-1", "aria-label": said,
    "data-path": block.path, transform: `translate(${left} ${top})`,
  },
  svg("title", null, block.path),
  isBlock(block) ? svg("rect.under", { x: 5, y: 5, width: CARD.width, height: CARD.height, rx: 7 }) : null,
  svg("rect.face", { width: CARD.width, height: CARD.height, rx: 7 }),
  svg("rect.stripe", { x: 0, y: 9, width: 4, height: CARD.height - 18, rx: 2, fill: stripe(block) }),
  svg("text.name", { x: 14, y: 20 }, shortened(block.path)),
  svg("text.kind", { x: 14, y: 37 },
    isBlock(block) ? `${block.layers.length} layers` : describe(block.layer)),
  svg("text.size", { x: CARD.width - 12, y: 37, "text-anchor": "end" },
    links ? `${compact(links)} links` : ""),
  links ? svg("rect.bar", { x: 14, y: CARD.height - 8, width: Math.max(bar, 2), height: 3, rx: 1.5 }) : null);
}

function describe({ kind, activation, shape, size }) {
  const does = activation && activation !== "identity" && activation !== kind ? `${kind} · ${activation}` : kind;
  const text = `${does} ${shape?.length ? shown(shape) : compact(size)}`;
  return text.length > 26 ? `${kind} ${compact(size)}` : text;
}

function stripe(block) {
  const kinds = block.layers.map(({ kind }) => kind);
  const family = FAMILIES.findIndex(([, fits]) => kinds.some((kind) => fits.test(kind)));
  return family < 0 ? series(7) : series(family);
}

function shortened(path) {
  // The end of a name tells layers apart; their beginning is that of the block.
  return path.length > NAME_LENGTH ? `…${path.slice(1 - NAME_LENGTH)}` : path;
}

function line({ source, target, points, back }, at) {
  const ends = points.map(at);
  let path = "";
  if (back) {
    const [from, to] = ends;
    const side = Math.max(from.x, to.x) + CARD.width / 2 + 18;
    const [start, end] = [(from.top + from.bottom) / 2, (to.top + to.bottom) / 2];
    path = `M${from.x + CARD.width / 2} ${start + 6}C${side} ${start + 6} ${side} ${end - 6} ${to.x + CARD.width / 2 + 4} ${end - 6}`;
  } else {
    path = `M${ends[0].x} ${ends[0].bottom}`;
    for (let index = 1; index < ends.length; index += 1) {
      const [from, to] = [ends[index - 1], ends[index]];
      const end = index === ends.length - 1 ? to.top - 4 : to.top;
      const bend = (end - from.bottom) / 2;
      path += `C${from.x} ${from.bottom + bend} ${to.x} ${end - bend} ${to.x} ${end}`;
      if (index < ends.length - 1) path += `L${to.x} ${to.bottom}`;
    }
  }
  const { x, top, bottom } = ends.at(-1);
  const tip = back
    ? `M${x + CARD.width / 2 + 9} ${(top + bottom) / 2 - 10}l-6 4 6 4`
    : `M${x - 4} ${top - 7}l4 5 4-5`;
  return svg("path", {
    class: back ? "link back" : "link", d: path + tip, "data-source": source, "data-target": target,
  });
}

/** Frames behind the open blocks, with a title that closes them. */
function outlines(open, drawing, at, toggle) {
  const deepest = depth(open);
  return open.map(({ block, holds }, index) => {
    const inside = holds.map((path) => at(drawing.places.get(path)));
    const margin = 12 + 8 * (deepest - nesting(open, index));
    const left = Math.min(...inside.map(({ x }) => x)) - CARD.width / 2 - margin;
    const right = Math.max(...inside.map(({ x }) => x)) + CARD.width / 2 + margin;
    const topmost = Math.min(...inside.map(({ top }) => top));
    const stacked = open.filter((other) => contains(block, other.block)
      && Math.min(...other.holds.map((path) => at(drawing.places.get(path)).top)) === topmost).length;
    const top = topmost - 6 - BETWEEN.titles * stacked;
    const bottom = Math.max(...inside.map((place) => place.bottom)) + 10;
    const close = () => toggle(block.path);
    return svg("g.open-block", null,
      svg("rect", { x: left, y: top, width: right - left, height: bottom - top, rx: 10 }),
      svg("text", {
        x: left + 10, y: top + 17, role: "button", tabindex: "0", "aria-label": `Close ${block.path}`,
        onclick: close,
        onkeydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          close();
        },
      }, `▾ ${shortened(block.path)}`));
  });
}

/** How many titles of open blocks stand above each row. */
function rowsWithTitles({ places }, open) {
  const titled = new Map();
  for (const { holds } of open) {
    const row = Math.min(...holds.map((path) => places.get(path).row));
    titled.set(row, (titled.get(row) ?? 0) + 1);
  }
  return titled;
}

function contains(block, { path }) {
  return path.startsWith(block.path) && [undefined, ".", "/"].includes(path[block.path.length]);
}

/** In how many other open blocks one stands. */
function nesting(open, index) {
  return open.slice(0, index).filter(({ block }) => contains(block, open[index].block)).length;
}

function depth(open) {
  return open.length ? Math.max(...open.map((_, index) => nesting(open, index))) + 1 : 0;
}

function neighbour(key, path, rows) {
  const row = rows.findIndex((all) => all.includes(path));
  const place = rows[row].indexOf(path);
  const to = {
    ArrowLeft: [row, place - 1], ArrowRight: [row, place + 1],
    ArrowUp: [row - 1, place], ArrowDown: [row + 1, place],
    Home: [0, 0], End: [rows.length - 1, 0],
  }[key];
  if (!to) return null;
  const there = rows[to[0]];
  if (!there?.length) return null;
  return to[0] === row ? (there[to[1]] ?? null) : there[Math.min(to[1], there.length - 1)];
}
