// A picture as a list of marks, so that the same picture is painted on a canvas and written as SVG.
//
//   {curve: [x, y, ...six numbers a piece], colour, width, opacity, dash}   Bézier curves in a row
//   {box: [x, y, width, height], fill, edge, opacity}
//   {dot: [x, y, radius], fill, edge, width, opacity}
//   {words, at: [x, y], size, colour, align, angle, bold, halo}   `align` start, middle or end; angle
//                                                                 in degrees; halo the colour behind
//
// Later marks lie over earlier ones. `words` are untrusted text: they are drawn, never parsed.

import { svg } from "weightome/element.js";

const FONT = "system-ui, sans-serif";
const SAMPLES = 14;

/** Paints marks on a canvas, whose brush may be scaled. */
export function paint(brush, marks) {
  for (const mark of marks) {
    brush.globalAlpha = mark.opacity ?? 1;
    if (mark.curve) paintCurve(brush, mark);
    else if (mark.box) paintBox(brush, mark);
    else if (mark.dot) paintDot(brush, mark);
    else paintWords(brush, mark);
  }
  brush.globalAlpha = 1;
}

function paintCurve(brush, { curve, colour, width, dash }) {
  brush.beginPath();
  brush.moveTo(curve[0], curve[1]);
  for (let at = 2; at < curve.length; at += 6) brush.bezierCurveTo(...curve.slice(at, at + 6));
  brush.strokeStyle = colour;
  brush.lineWidth = width;
  brush.setLineDash(dash ?? []);
  brush.stroke();
}

function paintBox(brush, { box, fill, edge }) {
  brush.setLineDash([]);
  brush.lineWidth = 1;
  if (fill) {
    brush.fillStyle = fill;
    brush.fillRect(...box);
  }
  if (edge) {
    brush.strokeStyle = edge;
    brush.strokeRect(...box);
  }
}

function paintDot(brush, { dot: [x, y, radius], fill, edge, width }) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, 2 * Math.PI);
  brush.setLineDash([]);
  if (fill) {
    brush.fillStyle = fill;
    brush.fill();
  }
  if (edge) {
    brush.strokeStyle = edge;
    brush.lineWidth = width ?? 1;
    brush.stroke();
  }
}

const ALIGNED = { start: "left", middle: "center", end: "right" };

function paintWords(brush, { words, at: [x, y], size, colour, align, angle, bold, halo }) {
  brush.save();
  brush.translate(x, y);
  if (angle) brush.rotate((angle * Math.PI) / 180);
  brush.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
  brush.textAlign = ALIGNED[align ?? "start"];
  brush.setLineDash([]);
  if (halo) {
    brush.strokeStyle = halo;
    brush.lineWidth = 3;
    brush.lineJoin = "round";
    brush.strokeText(words, 0, 0);
  }
  brush.fillStyle = colour;
  brush.fillText(words, 0, 0);
  brush.restore();
}

/** Width of words as they are painted, in pixels. */
export function widthOf(words, size, bold = false) {
  measuring ??= document.createElement("canvas").getContext("2d");
  measuring.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
  return measuring.measureText(words).width;
}

let measuring = null;

/** Words cut with an ellipsis so that they are not wider than so many pixels. */
export function fitted(words, size, most, bold = false) {
  if (widthOf(words, size, bold) <= most) return words;
  // The end of a layer's name tells it from others more than its beginning does.
  const letters = [...words];
  let length = letters.length;
  const cut = () => `${letters.slice(0, Math.ceil(length / 3)).join("")}…${
    letters.slice(letters.length - Math.floor((2 * length) / 3)).join("")}`;
  while (length > 2 && widthOf(cut(), size, bold) > most) length -= 1;
  return cut();
}

/** The picture as a blob: marks on paper of that size. */
export async function pictured(kind, marks, { width, height, paper }) {
  if (kind === "svg") return asSvg(marks, width, height, paper);
  const canvas = document.createElement("canvas");
  const scale = Math.min(2, 8192 / Math.max(width, height));
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  const brush = canvas.getContext("2d");
  brush.scale(scale, scale);
  paint(brush, [{ box: [0, 0, width, height], fill: paper }, ...marks]);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function asSvg(marks, width, height, paper) {
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` },
    svg("rect", { width, height, fill: paper }), marks.map(written));
  const text = new XMLSerializer().serializeToString(picture);
  return new Blob([text], { type: "image/svg+xml" });
}

const rounded = (value) => Math.round(value * 100) / 100;

function written(mark) {
  const shared = { opacity: mark.opacity };
  if (mark.curve) {
    const [x, y, ...rest] = mark.curve.map(rounded);
    return svg("path", {
      ...shared, d: `M${x} ${y}C${rest.join(" ")}`, fill: "none", stroke: mark.colour,
      "stroke-width": rounded(mark.width), "stroke-dasharray": mark.dash?.join(" "),
    });
  }
  if (mark.box) {
    const [x, y, width, height] = mark.box.map(rounded);
    return svg("rect", { ...shared, x, y, width, height, fill: mark.fill ?? "none", stroke: mark.edge });
  }
  if (mark.dot) {
    const [cx, cy, r] = mark.dot.map(rounded);
    return svg("circle", {
      ...shared, cx, cy, r, fill: mark.fill ?? "none", stroke: mark.edge, "stroke-width": mark.width,
    });
  }
  const [x, y] = mark.at.map(rounded);
  return svg("text", {
    ...shared, x, y, fill: mark.colour, "font-size": mark.size, "font-family": FONT,
    "font-weight": mark.bold ? 600 : null, "text-anchor": mark.align,
    transform: mark.angle ? `rotate(${mark.angle} ${x} ${y})` : null,
    stroke: mark.halo, "stroke-width": mark.halo ? 3 : null, "paint-order": mark.halo ? "stroke" : null,
  }, mark.words);
}

/** Points along curves, as a mark has them. */
export function sampled(curve) {
  const points = [[curve[0], curve[1]]];
  for (let at = 2; at < curve.length; at += 6) {
    const [x0, y0] = [curve[at - 2], curve[at - 1]];
    const [x1, y1, x2, y2, x3, y3] = curve.slice(at, at + 6);
    for (let step = 1; step <= SAMPLES; step += 1) {
      const t = step / SAMPLES;
      const s = 1 - t;
      points.push([
        s ** 3 * x0 + 3 * s * s * t * x1 + 3 * s * t * t * x2 + t ** 3 * x3,
        s ** 3 * y0 + 3 * s * s * t * y1 + 3 * s * t * t * y2 + t ** 3 * y3,
      ]);
    }
  }
  return points;
}

/** Distance from (x, y) to the line between two points. */
export function distance(x, y, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
  return Math.hypot(x - x0 - t * dx, y - y0 - t * dy);
}
