// Blocks of layers: those whose names begin alike, such as `encoder.layer.3`, drawn as one node
// until they are opened.

const MOST_AT_ONCE = 40;

/**
 * @typedef {object} Block
 * @property {string} path the beginning that the names share; "" of the whole network
 * @property {Block[]} blocks
 * @property {object[]} layers records of the question `layers`, all that are inside
 * @property {object|null} layer where it is a layer itself
 */

/** The tree of blocks of a network. A block with one part only is that part. */
export function tree(layers) {
  const root = { path: "", blocks: new Map(), layers, layer: null };
  for (const layer of layers) {
    let block = root;
    for (const path of beginnings(layer.layer)) {
      if (!block.blocks.has(path)) block.blocks.set(path, { path, blocks: new Map(), layers: [], layer: null });
      block = block.blocks.get(path);
      block.layers.push(layer);
    }
    block.layer = layer;
  }
  return simplified(root, true);
}

/** The paths of the blocks to open at first: whole levels, as long as the drawing stays small. */
export function openedAtFirst(root) {
  const opened = new Set();
  let level = root.blocks.filter(isBlock);
  while (level.length) {
    const next = new Set([...opened, ...level.map(({ path }) => path)]);
    if (visible(root, next).length > MOST_AT_ONCE) break;
    level.forEach(({ path }) => opened.add(path));
    level = level.flatMap(({ blocks }) => blocks.filter(isBlock));
  }
  return opened;
}

/** The blocks and layers to draw when some blocks are open, in the order of the network. */
export function visible(root, opened) {
  const shown = root.blocks.flatMap((block) => (
    isBlock(block) && opened.has(block.path) ? visible(block, opened) : [block]));
  return shown.sort((one, other) => first(one) - first(other));
}

/** The edges between what is drawn, each once. */
export function edges(drawn) {
  const holder = new Map(drawn.flatMap((block) => block.layers.map(({ layer }) => [layer, block.path])));
  const found = new Map();
  for (const block of drawn) {
    for (const { fed_by: sources, layer } of block.layers) {
      for (const source of sources) {
        const edge = { source: holder.get(source), target: block.path };
        // A block's inner edges are its own affair; a layer that feeds itself is drawn so.
        const inner = edge.source === edge.target && !(block.layer && source === layer);
        if (edge.source !== undefined && !inner) found.set(JSON.stringify(edge), edge);
      }
    }
  }
  return [...found.values()];
}

/** Whether there is something to open. */
export const isBlock = ({ blocks }) => blocks.length > 0;

/** Place of its first layer. */
export const first = ({ layers }) => layers[0].layer_index;

/** Every block that is open and drawn, with what it holds of the drawing; the outer ones first. */
export function openBlocks(root, opened) {
  return root.blocks.filter((block) => isBlock(block) && opened.has(block.path)).flatMap((block) => (
    [{ block, holds: visible(block, opened).map(({ path }) => path) }, ...openBlocks(block, opened)]));
}

function beginnings(name) {
  // Modules are joined by dots, the nodes of an ONNX file by slashes.
  const ends = [...name.matchAll(/[^./]+/g)].map((part) => part.index + part[0].length);
  return ends.length ? [...ends.slice(0, -1).map((end) => name.slice(0, end)), name] : [name];
}

function simplified(block, isRoot = false) {
  const inner = [...block.blocks.values()];
  if (!isRoot && inner.length === 1 && block.layer === null) return simplified(inner[0]);
  const blocks = inner.map((each) => simplified(each));
  // A layer whose name begins those of others stands among them.
  if (block.layer !== null && blocks.length) {
    blocks.unshift({ path: `${block.path} (itself)`, blocks: [], layers: [block.layer], layer: block.layer });
    return { ...block, blocks, layer: null };
  }
  return { ...block, blocks };
}
