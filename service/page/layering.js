// A layered drawing of a directed graph: which row and place each node has, and how links run.
//
// Rows follow the longest path from a start; links that span rows pass through invisible nodes, so
// that they bend around what lies between (Sugiyama, Tagawa and Toda, 1981).

const SWEEPS = 6;
const PULLS = 16;

/**
 * @param {{id: string, order: number, width: number}[]} nodes `order` as the network computes them
 * @param {{source: string, target: string}[]} edges those that lead back are drawn as such
 * @param {{gap: number, rowHeight: (row: number) => number}} spacing
 * @returns {{places: Map<string, {x: number, row: number}>, routes: object[], width: number, rows: string[][]}}
 *   x of the middle of each node; of each edge its points as {x, row} and whether it leads back
 */
export function layered(nodes, edges, gap) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const forward = edges.filter(({ source, target }) => byId.get(source).order < byId.get(target).order);
  const back = edges.filter(({ source, target }) => byId.get(source).order >= byId.get(target).order);
  const rowOf = ranks(nodes, forward);
  const rows = [];
  const items = new Map();
  const put = (item) => {
    (rows[item.row] ??= []).push(item);
    items.set(item.id, item);
    return item;
  };
  for (const { id, order, width } of [...nodes].sort((one, other) => one.order - other.order)) {
    put({ id, order, width, row: rowOf.get(id), above: [], below: [] });
  }
  const chains = forward.map(({ source, target }, number) => {
    const chain = [items.get(source)];
    for (let row = rowOf.get(source) + 1; row < rowOf.get(target); row += 1) {
      const { order } = chain[0];
      chain.push(put({ id: `${number}:${row}`, order, width: 14, row, above: [], below: [] }));
    }
    chain.push(items.get(target));
    for (let place = 1; place < chain.length; place += 1) {
      chain[place - 1].below.push(chain[place]);
      chain[place].above.push(chain[place - 1]);
    }
    return { source, target, chain };
  });
  order(rows);
  const width = position(rows, gap);
  const point = ({ x, row }) => ({ x, row });
  return {
    places: new Map(nodes.map(({ id }) => [id, point(items.get(id))])),
    routes: [
      ...chains.map(({ source, target, chain }) => ({ source, target, points: chain.map(point), back: false })),
      ...back.map(({ source, target }) => (
        { source, target, points: [items.get(source), items.get(target)].map(point), back: true })),
    ],
    width,
    rows: rows.map((row) => row.filter(({ id }) => byId.has(id)).map(({ id }) => id)),
  };
}

function ranks(nodes, forward) {
  const into = new Map(nodes.map(({ id }) => [id, []]));
  for (const { source, target } of forward) into.get(target).push(source);
  const rowOf = new Map();
  for (const { id } of [...nodes].sort((one, other) => one.order - other.order)) {
    rowOf.set(id, Math.max(-1, ...into.get(id).map((source) => rowOf.get(source))) + 1);
  }
  return rowOf;
}

/** Puts each row into an order with few crossings: by the mean place of its neighbours. */
function order(rows) {
  const number = (row) => row.forEach((item, place) => (item.place = place));
  rows.forEach(number);
  const sorted = (row, side) => {
    for (const item of row) {
      const near = item[side];
      item.wish = near.length ? near.reduce((sum, { place }) => sum + place, 0) / near.length : item.place;
    }
    row.sort((one, other) => one.wish - other.wish || one.order - other.order);
    number(row);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const row of rows.slice(1)) sorted(row, "above");
    for (const row of rows.slice(0, -1).reverse()) sorted(row, "below");
  }
  for (const row of rows.slice(1)) sorted(row, "above");
}

/** Sets x of every item: near its neighbours, no two of a row closer than the gap. */
function position(rows, gap) {
  for (const row of rows) {
    let x = 0;
    for (const item of row) {
      item.x = x + item.width / 2;
      x += item.width + gap;
    }
    const shift = (x - gap) / 2;
    for (const item of row) item.x -= shift;
  }
  for (let sweep = 0; sweep < PULLS; sweep += 1) {
    for (const row of rows) pull(row, (item) => [...item.above, ...item.below], gap);
    for (const row of [...rows].reverse()) pull(row, (item) => [...item.above, ...item.below], gap);
  }
  const all = rows.flat();
  const left = Math.min(...all.map(({ x, width }) => x - width / 2));
  const right = Math.max(...all.map(({ x, width }) => x + width / 2));
  for (const item of all) item.x -= left;
  return right - left;
}

function pull(row, near, gap) {
  const wishes = row.map((item) => {
    const others = near(item);
    return others.length ? others.reduce((sum, { x }) => sum + x, 0) / others.length : item.x;
  });
  // Neighbours that wish to overlap form a block, which stands where its members wish on average.
  const blocks = [];
  row.forEach((item, index) => {
    let block = { items: [item], offsets: [item.width / 2], width: item.width, sum: wishes[index] - item.width / 2 };
    for (;;) {
      const before = blocks.at(-1);
      if (!before || before.sum / before.items.length + before.width + gap <= block.sum / block.items.length) break;
      blocks.pop();
      const shift = before.width + gap;
      block = {
        items: [...before.items, ...block.items],
        offsets: [...before.offsets, ...block.offsets.map((offset) => offset + shift)],
        width: shift + block.width,
        sum: before.sum + block.sum - shift * block.items.length,
      };
    }
    blocks.push(block);
  });
  for (const { items, offsets, sum } of blocks) {
    const start = sum / items.length;
    items.forEach((item, index) => (item.x = start + offsets[index]));
  }
}
