// A small histogram as SVG: bars left of zero in the colour of negative values, right of it in that
// of positive ones.

import { signColour } from "weightome/colours.js";
import { svg } from "weightome/element.js";
import { count, short } from "weightome/numbers.js";

const HEIGHT = 64;
const WIDTH = 240;

/**
 * @param {{low: number, high: number, count: number}[]} bins of one layer, from the least on
 * @param {{described: string, most?: number}} how `most`: the count that reaches the top
 */
export function histogram(bins, { described, most = Math.max(...bins.map((bin) => bin.count)) }) {
  const low = bins[0].low;
  const range = bins.at(-1).high - low || 1;
  const place = (value) => ((value - low) / range) * WIDTH;
  const zero = low < 0 && low + range > 0 ? place(0) : null;
  return svg("svg.histogram", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": described,
  },
  bins.map((bin) => {
    const middle = (bin.low + bin.high) / 2;
    const height = most ? (bin.count / most) * (HEIGHT - 2) : 0;
    const width = Math.max(bins.length === 1 ? WIDTH : place(bin.high) - place(bin.low) - 0.5, 0.5);
    return svg("rect", {
      x: bins.length === 1 ? 0 : place(bin.low), y: HEIGHT - height, width, height,
      // Near zero both colours would be pale.
      fill: signColour(middle < 0 ? -1 : 1, 1.4),
    }, svg("title", null, `${short(bin.low)} to ${short(bin.high)}: ${count(bin.count)}`));
  }),
  zero === null ? null : svg("line.zero", { x1: zero, x2: zero, y1: 0, y2: HEIGHT }));
}
