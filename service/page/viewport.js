// A canvas that is looked at from nearer or farther: fits, zooms, moves, and redraws when it must.
//
// A plain wheel scrolls the page; with Ctrl, or two fingers, it zooms. Until then a finger that
// moves up or down scrolls the page too.

import { html } from "weightome/element.js";
import { paint } from "weightome/scene.js";

const NEAREST = 16;
const CLICK = 4;

export class Viewport {
  /**
   * @param {object} picture
   * @param {(width: number, height: number) => object} picture.bounds {x, y, width, height} of what
   *   there is, for a canvas of that size
   * @param {(view: object) => object[]} picture.marks see scene.js, in pixels of the canvas; the
   *   view is {x, y, scale, width, height}: world (u, v) is at ((u - x) * scale, (v - y) * scale)
   * @param {(point: number[], view: object, click: boolean) => void} picture.point where the
   *   pointer is in the world, or null when it left
   * @param {(key: string) => boolean} picture.key whether it knows what to do
   * @param {(width: number) => object} picture.margin {left, right, top, bottom} in pixels
   * @param {number} [picture.legible] the least scale at first, even if then not all is seen
   * @param {string} picture.label for those who do not see it
   * @param {string} picture.height as CSS
   * @param {AbortSignal} signal ends it
   */
  constructor(picture, signal) {
    this._picture = picture;
    this._pointers = new Map();
    this._moved = 0;
    this._own = false;
    this.view = { x: 0, y: 0, scale: 1, width: 0, height: 0 };
    this.canvas = html("canvas", {
      tabindex: "0", role: "application", "aria-label": picture.label,
      style: {
        display: "block", width: "100%", height: picture.height, "touch-action": "pan-y", cursor: "grab",
      },
    });
    const button = (text, label, act) => html("button", {
      type: "button", "aria-label": label, title: label, onclick: act,
      style: {
        display: "grid", "place-items": "center", width: "32px", height: "32px", padding: "0", "min-height": "0",
      },
    }, text);
    this._buttons = html("div", {
      style: { position: "absolute", right: "8px", top: "8px", display: "flex", gap: "4px" },
    },
      button("+", "Zoom in", () => this._zoom(1.4)),
      button("−", "Zoom out", () => this._zoom(1 / 1.4)),
      button("⤢", "Fit the whole picture", () => this.fit()),
    );
    this.element = html("div", { style: {
      position: "relative", "min-width": "0", overflow: "hidden", background: "var(--paper)",
      border: "1px solid var(--line)", "border-radius": "8px",
    } }, this.canvas, this._buttons);
    this._listen(signal);
    const observer = new ResizeObserver(() => this._resized());
    observer.observe(this.canvas);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Draws anew, once, before the next frame. */
  redraw() {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = undefined;
      this._draw();
    });
  }

  /** Shows all of it; at first only its beginning, where all would be too small to see. */
  fit({ whole = true } = {}) {
    const { width, height } = this.view;
    const margin = this._picture.margin(width);
    const bounds = this._picture.bounds(width, height);
    const across = Math.max(40, width - margin.left - margin.right);
    const down = Math.max(40, height - margin.top - margin.bottom);
    const fitting = Math.min(2.2, across / Math.max(1, bounds.width), down / Math.max(1, bounds.height));
    const scale = whole ? fitting : Math.max(fitting, Math.min(this._picture.legible ?? 0, down / Math.max(1, bounds.height)));
    this.view.scale = scale;
    this.view.x = scale > fitting
      ? bounds.x - margin.left / scale
      : bounds.x + bounds.width / 2 - (margin.left + across / 2) / scale;
    this.view.y = bounds.y + bounds.height / 2 - (margin.top + down / 2) / scale;
    this._own = false;
    this.canvas.style.setProperty("touch-action", "pan-y");
    this.redraw();
  }

  /** Moves just so far that a point of the world is seen. */
  reveal(x, y) {
    const { view } = this;
    const edge = 40;
    const [left, top] = [(x - view.x) * view.scale, (y - view.y) * view.scale];
    view.x += (Math.min(0, left - edge) + Math.max(0, left - view.width + edge)) / view.scale;
    view.y += (Math.min(0, top - edge) + Math.max(0, top - view.height + edge)) / view.scale;
    this.redraw();
  }

  _resized() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    Object.assign(this.view, { width, height });
    if (this._own) this.redraw();
    else this.fit({ whole: false });
    // Setting the size has cleared the canvas.
    this._draw();
  }

  _draw() {
    const brush = this.canvas.getContext("2d");
    const ratio = this.canvas.width / Math.max(1, this.view.width);
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, this.view.width, this.view.height);
    paint(brush, this._picture.marks(this.view));
  }

  _zoom(factor, x = this.view.width / 2, y = this.view.height / 2) {
    const { view } = this;
    const scale = Math.min(NEAREST, Math.max(0.05, view.scale * factor));
    view.x += x / view.scale - x / scale;
    view.y += y / view.scale - y / scale;
    view.scale = scale;
    this._took();
  }

  _pan(across, down) {
    this.view.x -= across / this.view.scale;
    this.view.y -= down / this.view.scale;
    this._took();
  }

  _took() {
    this._own = true;
    // Someone looks at a part: now fingers move the picture, not the page.
    this.canvas.style.setProperty("touch-action", "none");
    this.redraw();
  }

  _listen(signal) {
    const listen = (name, heard, how = {}) => this.canvas.addEventListener(name, heard, { signal, ...how });
    listen("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this._zoom(Math.exp(-event.deltaY * 0.004), event.offsetX, event.offsetY);
    }, { passive: false });
    listen("pointerdown", (event) => {
      this._pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      if (this._pointers.size === 1) this._moved = 0;
      this.canvas.setPointerCapture(event.pointerId);
    });
    listen("pointermove", (event) => this._pointed(event));
    listen("pointerup", (event) => {
      const clicked = this._pointers.has(event.pointerId) && this._moved < CLICK;
      this._pointers.delete(event.pointerId);
      if (clicked) this._tell(event, true);
    });
    listen("pointercancel", (event) => this._pointers.delete(event.pointerId));
    listen("pointerleave", () => this._picture.point(null, this.view, false));
    listen("keydown", (event) => {
      const zoom = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (zoom) this._zoom(zoom);
      else if (event.key === "0") this.fit();
      else if (!this._picture.key(event.key)) return;
      event.preventDefault();
    });
  }

  _pointed(event) {
    const before = this._pointers.get(event.pointerId);
    if (!before) {
      this._tell(event, false);
      return;
    }
    const now = [event.offsetX, event.offsetY];
    const [across, down] = [now[0] - before[0], now[1] - before[1]];
    const others = [...this._pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this._pointers.set(event.pointerId, now);
    this._moved += Math.hypot(across, down);
    if (this._moved < CLICK) return;
    if (others.length) {
      const apart = (at) => Math.hypot(at[0] - others[0][0], at[1] - others[0][1]);
      const half = [0, 1].map((axis) => (now[axis] + others[0][axis]) / 2);
      this._zoom(apart(now) / Math.max(1, apart(before)), ...half);
    } else {
      this._pan(across, down);
    }
  }

  _tell({ offsetX, offsetY }, click) {
    const { x, y, scale } = this.view;
    this._picture.point([offsetX / scale + x, offsetY / scale + y], this.view, click);
  }
}
