// The drawn network: neurons in their places, links between them, what is under the pointer, and
// what is chosen. Panels say which neurons and links; here is how they look and answer to the hand.

import { accent, ink, line, muted, paper, signColour } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { heightOf, legend, samples } from "weightome/legend.js";
import { compact, count, short } from "weightome/numbers.js";
import { keyOf, placed } from "weightome/placing.js";
import { distance, fitted, pictured, sampled, widthOf } from "weightome/scene.js";
import { Viewport } from "weightome/viewport.js";

const NEAR = 9;
const NEAR_LINK = 5;
const CAPTION = 12;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Drawn {
  /**
   * @param {object} what
   * @param {object[]} what.layers records of the question `layers`
   * @param {object[]} what.neurons records of `drawn-neurons`
   * @param {object[]} what.links records of `drawn-links`
   * @param {object} what.colours how neurons are coloured, see measures.js
   * @param {string} what.label what it shows, for those who do not see it
   * @param {string} [what.height] as CSS
   * @param {boolean} [what.named] whether each neuron stands in a column with its index beside it
   * @param {(neuron: object) => void} what.open someone wants to know more of a neuron
   * @param {() => void} what.leave someone wants nothing chosen
   * @param {(sentence: string) => void} what.status
   * @param {AbortSignal} signal ends it
   */
  constructor(what, signal) {
    this._what = what;
    this._least = 0;
    this._chosen = null;
    this._own = [];
    this._lit = null;
    this._here = null;
    this._aspect = 0;
    this._neurons = new Map(what.neurons.map((each) => [keyOf(each.layer_index, each.neuron), each]));
    this._sizes = new Map(what.neurons.map((each) => [each.layer_index, each.size]));
    this._counts = counted(what.neurons);
    this._greatest = Math.max(0, ...what.links.filter(learned).map(({ weight }) => Math.abs(weight)));
    this._arrange(2);
    this._parts = this._legend();
    this._tip = tip();
    this._viewport = new Viewport({
      bounds: (width, height) => this._fitting(width, height),
      margin: (width) => this._margin(width),
      legible: 0.5,
      label: `${what.label} Arrow keys move from neuron to neuron, Enter opens one, + and − zoom.`,
      height: what.height ?? "clamp(380px, 66vh, 760px)",
      marks: (view) => this._marks(view),
      point: (point, view, click) => this._pointed(point, view, click),
      key: (key) => this._key(key),
    }, signal);
    this.element = this._viewport.element;
    this.element.append(this._tip);
    this._tell();
  }

  /** The greatest |weight| of the learned links. */
  get greatest() {
    return this._greatest;
  }

  /** How many links are drawn now. */
  get visible() {
    return this._lines.filter((each) => this._shown(each)).length;
  }

  /** Draws only links with at least that magnitude; fixed links stay. */
  limit(least) {
    this._least = least;
    this._tell();
  }

  /**
   * Lights up a neuron and its links; null: none.
   *
   * @param {string|null} key
   * @param {object[]} own further links of it, in the form of `drawn-links`, to draw while it is lit
   */
  choose(key, own = []) {
    this._chosen = key;
    const there = ({ ends }) => ends.every((end) => this._neurons.has(end));
    const known = new Set(this._lines.map(named));
    this._own = own.map((link) => this._line(link, there)).filter((each) => each && !known.has(named(each)));
    this._here = key ?? this._here;
    const spot = key && this._place.spots.get(key);
    if (spot) this._viewport.reveal(spot.x, spot.y);
    this._tell();
  }

  /** Lights up some links only, by a test of a record of `drawn-links`; null: all alike. */
  light(test) {
    this._lit = test;
    this._viewport.redraw();
  }

  /** The picture as it is seen now, as a blob. */
  picture(kind) {
    const { view } = this._viewport;
    return pictured(kind, this._marks(view), { width: view.width, height: view.height, paper: paper() });
  }

  /** Where a neuron is on the canvas, in pixels; for tests and for what points at it. */
  placeOf(key) {
    const spot = this._place.spots.get(key);
    const { x, y, scale } = this._viewport.view;
    return spot && [(spot.x - x) * scale, (spot.y - y) * scale];
  }

  _tell() {
    // What is on the canvas, for whoever cannot look at it.
    const { dataset } = this._viewport.canvas;
    dataset.neurons = String(this._neurons.size);
    dataset.links = String(this.visible);
    dataset.chosen = this._chosen ?? "";
    this._viewport.redraw();
  }

  /** Gives the drawing the shape of its canvas, where that has become another one. */
  _fitting(width, height) {
    const { left, right, top, bottom } = this._margin(width);
    const free = [width - left - right, height - top - bottom];
    const aspect = Math.min(4, Math.max(0.4, free[0] / Math.max(1, free[1])));
    if (Math.abs(Math.log(aspect / this._aspect)) > 0.08) this._arrange(aspect);
    return this._place.bounds;
  }

  _margin(width) {
    const side = width < 500 ? 22 : 36;
    return { left: side, right: side, top: 30, bottom: heightOf(this._parts, width) + 16 };
  }

  _arrange(aspect) {
    const { layers, neurons, links, named } = this._what;
    this._aspect = aspect;
    this._place = placed(layers, neurons, aspect, named);
    this._lines = links.map((link) => this._line(link)).sort((one, other) => one.share - other.share);
    this._own = this._own.map(({ link }) => this._line(link));
  }

  _line(link, wanted = () => true) {
    const from = [link.source_index, link.source_neuron];
    const to = [link.target_index, link.target_neuron];
    const ends = [keyOf(...from), keyOf(...to)];
    if (!wanted({ ends })) return null;
    const share = learned(link) && this._greatest > 0 ? Math.min(1, Math.abs(link.weight) / this._greatest) : 0;
    return { link, share, ends, curve: this._place.curve(from, to) };
  }

  _shown({ link }) {
    return !learned(link) || Math.abs(link.weight) >= this._least;
  }

  _legend() {
    const signs = [-1, 1].map((sign) => (
      { text: sign < 0 ? "negative" : "positive", colour: signColour(sign * 0.8, 1) }));
    const fixed = this._what.links.some((link) => !learned(link))
      ? [{ text: "fixed", colour: muted(), dash: [4, 3] }] : [];
    const title = `Links, |w| up to ${short(this._greatest)}`;
    return [this._what.colours.part, ...(this._lines.length ? [samples(title, [...signs, ...fixed])] : [])];
  }

  _marks(view) {
    const at = (u, v) => [(u - view.x) * view.scale, (v - view.y) * view.scale];
    const colours = { ink: ink(), line: line(), muted: muted(), paper: paper(), accent: accent() };
    const [curves, lit] = this._curves(view, at, colours);
    return [
      ...curves,
      ...this._frames(view, at, colours),
      ...this._spots(view, at, colours),
      ...lit,
      ...this._captions(view, at, colours),
      { box: [0, view.height - heightOf(this._parts, view.width) - 8, view.width, 200], fill: colours.paper, opacity: 0.9 },
      ...legend(this._parts, view.width, view.height),
    ];
  }

  _frames(view, at, colours) {
    return this._place.blocks.flatMap(({ frames }) => frames.map(([x, y, width, height]) => (
      { box: [...at(x, y), width * view.scale, height * view.scale], fill: colours.paper, edge: colours.line })));
  }

  _curves(view, at, colours) {
    const zoom = Math.min(1.6, Math.max(0.55, view.scale));
    const some = this._lit ?? (this._chosen && ((link, ends) => ends.includes(this._chosen)));
    const marks = [[], []];
    for (const { link, share, ends, curve } of [...this._lines, ...this._own].filter((each) => this._shown(each))) {
      const lit = some ? some(link, ends) : null;
      const points = [];
      for (let place = 0; place < curve.length; place += 2) points.push(...at(curve[place], curve[place + 1]));
      // What is lit lies over the neurons, so that one sees where it ends.
      marks[lit ? 1 : 0].push({ curve: points, ...this._stroke(link, share, lit, zoom, colours) });
    }
    return marks;
  }

  _stroke(link, share, lit, zoom, colours) {
    const faint = lit === false ? 0.07 : null;
    if (!learned(link)) return { colour: colours.muted, width: 0.8 * zoom, dash: [4, 3], opacity: faint ?? 0.5 };
    return {
      colour: signColour(Math.sign(link.weight) * (0.4 + 0.6 * share), 1),
      width: (0.6 + 1.8 * share + (lit ? 0.6 : 0)) * zoom,
      opacity: faint ?? (lit ? 0.95 : 0.3 + 0.6 * share),
    };
  }

  _spots(view, at, colours) {
    const marks = [];
    const rings = [];
    for (const [key, { x, y, size, cell }] of this._place.spots) {
      const neuron = this._neurons.get(key);
      const fill = this._what.colours.colour(neuron);
      const [left, top] = at(x, y);
      const side = size * view.scale;
      if (cell) {
        const gap = side > 5 ? 0.5 : 0;
        marks.push({ box: [left - side / 2 + gap, top - side / 2 + gap, side - 2 * gap, side - 2 * gap], fill });
      } else {
        const radius = side * (0.72 + 0.36 * this._what.colours.share(neuron));
        marks.push({ dot: [left, top, radius], fill, edge: colours.muted, width: 0.6 });
      }
      if (this._what.named) {
        const words = String(neuron.neuron);
        marks.push({ words, at: [left, top - side * 1.1 - 5], size: 11, align: "middle", colour: colours.ink, halo: colours.paper });
      }
      const ring = (colour, width) => rings.push(
        { dot: [left, top, (cell ? side * 0.75 : side * 1.1) + 3], edge: colour, width });
      if (key === this._chosen) ring(colours.accent, 2.5);
      else if (key === this._here) ring(colours.ink, 1.5);
    }
    return [...marks, ...rings];
  }

  _captions(view, at, { ink: dark, muted: quiet, paper: behind }) {
    return this._place.blocks.flatMap((block) => {
      const { layer, x, y, width, form } = block;
      const [middle, top] = at(x + width / 2, y);
      const room = this._room(block) * view.scale - 8;
      const words = (text, more) => ({ words: text, size: CAPTION, align: "middle", halo: behind, ...more });
      if (room < 12) return [];
      // Where it is too narrow to lie flat a name leans.
      if (room < 34) {
        const lean = { angle: -38, align: "start", at: [middle - 4, top - 8] };
        return [words(shortened(layer.layer, 76), { ...lean, colour: dark, bold: true })];
      }
      const numbers = this._numbers(layer, form).find((text) => widthOf(text, CAPTION - 1) <= room) ?? "";
      return [
        words(shortened(layer.layer, room), { at: [middle, top - 22], colour: dark, bold: true }),
        words(numbers, { at: [middle, top - 8], size: CAPTION - 1, colour: quiet }),
      ];
    });
  }

  /** How many of a layer's neurons are drawn, in ever fewer words. */
  _numbers({ layer_index: index }, form) {
    const [drawn, size] = [this._counts.get(index), this._sizes.get(index)];
    const said = `${count(drawn)} of ${count(size)}`;
    return [...(form ? [`${said} · ${form}`] : []), said, `${compact(drawn)}/${compact(size)}`];
  }

  /** Width that a block's caption may take: to half way to the next column. */
  _room({ x, width }) {
    const centres = [...new Set(this._place.blocks.map((block) => block.x + block.width / 2))];
    const here = x + width / 2;
    const apart = centres.map((centre) => Math.abs(centre - here)).filter((distance) => distance > 30);
    return Math.max(width, Math.min(...apart, 260));
  }

  _pointed(point, view, click) {
    const key = point && this._under(point, view);
    this._viewport.canvas.style.setProperty("cursor", key ? "pointer" : "grab");
    if (click) {
      if (key) this._what.open(this._neurons.get(key));
      else if (this._chosen) this._what.leave();
      return;
    }
    if (key) this._showTip(this.placeOf(key), this._about(key));
    else this._overLink(point, view);
  }

  _overLink(point, view) {
    const found = point && this._linkUnder(point, view);
    if (!found) {
      this._tip.hidden = true;
      return;
    }
    const { x, y, scale } = view;
    const { source, source_neuron: from, target, target_neuron: to, weight, kind } = found;
    this._showTip([(point[0] - x) * scale, (point[1] - y) * scale], [
      `${source}/${from} → ${target}/${to}`,
      `${kind === "LINK" ? "weight" : "fixed,"} ${short(weight)}`,
    ]);
  }

  _under([x, y], { scale }) {
    let nearest = NEAR / scale;
    let found = null;
    for (const [key, spot] of this._place.spots) {
      const [across, down] = [Math.abs(x - spot.x), Math.abs(y - spot.y)];
      if (spot.cell && Math.max(across, down) <= spot.size / 2) return key;
      const distance = Math.hypot(across, down) - (spot.cell ? spot.size / 2 : 0);
      if (distance < nearest) [nearest, found] = [distance, key];
    }
    return found;
  }

  _linkUnder([x, y], { scale }) {
    let nearest = NEAR_LINK / scale;
    let found = null;
    for (const each of this._lines) {
      if (!this._shown(each)) continue;
      each.points ??= sampled(each.curve);
      for (let place = 0; place < each.points.length - 1; place += 1) {
        const away = distance(x, y, each.points[place], each.points[place + 1]);
        // Of links that lie together the strongest, which comes last, is the one on top.
        if (away <= nearest) [nearest, found] = [away, each.link];
      }
    }
    return found;
  }

  _about(key) {
    const neuron = this._neurons.get(key);
    const place = ["step", "channel", "depth", "row", "col"].filter((name) => neuron[name] !== null);
    return [
      `${neuron.layer}/${neuron.neuron}`,
      place.length > 1 ? place.map((name) => `${name} ${neuron[name]}`).join(", ") : "",
      `${this._what.colours.name}: ${this._what.colours.text(neuron)}`,
      `strength in ${short(neuron.in)}, out ${short(neuron.out)}`,
      neuron.bias === null ? "" : `bias ${short(neuron.bias)}`,
    ].filter(Boolean);
  }

  _showTip([left, top], lines) {
    this._tip.replaceChildren(...lines.map((text, number) => (
      html("div", { style: number ? {} : { "font-weight": "600" } }, text))));
    this._tip.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this._tip;
    const { view } = this._viewport;
    const across = left + 16 + width > view.width ? left - 16 - width : left + 16;
    this._tip.style.setProperty("left", `${Math.max(4, across)}px`);
    this._tip.style.setProperty("top", `${Math.max(4, Math.min(top - 10, view.height - height - 4))}px`);
  }

  _key(key) {
    if (key === "Escape" && (this._chosen || !this._tip.hidden)) {
      this._tip.hidden = true;
      this._what.leave();
      return true;
    }
    if (key === "Enter" || key === " ") {
      if (this._here) this._what.open(this._neurons.get(this._here));
      return this._here !== null;
    }
    if (!(key in STEPS)) return false;
    this._here = this._place.spots.has(this._here) ? this._beside(this._here, STEPS[key]) : this._neurons.keys().next().value;
    const spot = this._place.spots.get(this._here);
    this._viewport.reveal(spot.x, spot.y);
    const about = this._about(this._here);
    this._showTip(this.placeOf(this._here), about);
    this._what.status(about.join(", "));
    return true;
  }

  /** The nearest neuron on that side; the same one at the edge. */
  _beside(key, [right, down]) {
    const from = this._place.spots.get(key);
    let least = Infinity;
    let found = key;
    for (const [other, spot] of this._place.spots) {
      const [x, y] = [spot.x - from.x, spot.y - from.y];
      const along = x * right + y * down;
      if (along < 0.5) continue;
      const cost = along + 3 * Math.abs(x * down + y * right);
      if (cost < least) [least, found] = [cost, other];
    }
    return found;
  }
}

/** A layer's name in so many pixels: rather its last parts in whole than all of them in pieces. */
function shortened(name, room) {
  const starts = [0, ...[...name.matchAll(/[./]/g)].map(({ index }) => index + 1)];
  // A number alone says too little.
  const ends = starts.map((start) => name.slice(start)).filter((text) => /\D/.test(text) || text === name);
  return ends.find((text) => widthOf(text, CAPTION, true) <= room)
    ?? fitted(ends.at(-1) ?? name, CAPTION, room, true);
}

const named = ({ ends, link }) => [...ends, link.weight].join(" ");
const learned = ({ kind }) => kind === "LINK";

function counted(neurons) {
  const counts = new Map();
  for (const { layer_index: layer } of neurons) counts.set(layer, (counts.get(layer) ?? 0) + 1);
  return counts;
}

function tip() {
  const element = html("div", { "aria-hidden": "true", style: {
    position: "absolute", "pointer-events": "none", padding: "6px 9px", "border-radius": "6px",
    background: "var(--paper)", color: "var(--ink)", border: "1px solid var(--line)", "font-size": "12px",
    "line-height": "1.35", "max-width": "260px", "overflow-wrap": "anywhere", "z-index": "2",
    "box-shadow": "0 2px 10px rgb(0 0 0 / 18%)",
  } });
  element.hidden = true;
  return element;
}
