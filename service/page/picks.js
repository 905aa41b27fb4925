// Two sets of neurons, picked one by one, between which paths are asked for. They are written as the
// questions read them: "fc1/12" or "fc1/0-9,12".

import { html } from "weightome/element.js";

const SIDES = { source: "start", target: "end" };

export class Picks {
  /** @param {object} context of the panel, in whose address they stand as `source` and `target` */
  constructor(context) {
    this._context = context;
    this._buttons = [];
    this._sets = { source: context.values.source ?? "", target: context.values.target ?? "" };
    /** Says what is picked, and leads to the paths; hidden while nothing is. */
    this.element = html("span.picks");
    this._show();
  }

  /** Two buttons for a neuron, such as "fc1/12", with which it is picked or no longer. */
  buttons(neuron) {
    this._buttons = Object.entries(SIDES).map(([side, word]) => {
      const onclick = () => this._set({ [side]: toggled(this._sets[side], neuron) });
      const element = html("button", { type: "button", onclick }, `Pick as ${word} of paths`);
      return { side, neuron, element };
    });
    this._show();
    return this._buttons.map(({ element }) => element);
  }

  _set(change) {
    Object.assign(this._sets, change);
    const { source, target } = this._sets;
    const values = { source: source || undefined, target: target || undefined };
    this._context.set({ values }, { replace: true, render: false });
    this._show();
  }

  _show() {
    const { source, target } = this._sets;
    const { network } = this._context;
    for (const { side, neuron, element } of this._buttons) {
      element.setAttribute("aria-pressed", String(holds(this._sets[side], neuron)));
    }
    this.element.hidden = !(source || target);
    this.element.replaceChildren(
      html("a", { href: this._context.link({ panel: "paths", network, values: { source, target } }) },
        `Paths from ${source || "the first layer"} to ${target || "the last layer"}`),
      " ",
      html("button.icon", {
        type: "button", "aria-label": "Pick none", onclick: () => this._set({ source: "", target: "" }),
      }, "✕"),
    );
  }
}

/** Whether a set holds a neuron. */
export function holds(set, neuron) {
  const [layer, index] = parts(neuron);
  const [held, indices] = parts(set);
  return held === layer && numbers(indices).includes(Number(index));
}

/** The set with the neuron, or without it if it holds it; a neuron of another layer begins anew. */
export function toggled(set, neuron) {
  const [layer, index] = parts(neuron);
  const [held, indices] = parts(set);
  if (held !== layer) return neuron;
  const all = new Set(numbers(indices));
  if (!all.delete(Number(index))) all.add(Number(index));
  return all.size ? `${layer}/${ranges([...all].sort((one, other) => one - other))}` : "";
}

/** The two parts of an address, as text: a layer's name, which may have slashes itself, and which of it. */
export function parts(address) {
  const slash = address.lastIndexOf("/");
  return slash < 0 ? [address, ""] : [address.slice(0, slash), address.slice(slash + 1)];
}

function numbers(indices) {
  return indices.split(",").filter(Boolean).flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    // An address of somebody's own may ask for anything: more than this nobody picks.
    return Array.from({ length: Math.min(10_000, last - first + 1) || 0 }, (_, step) => first + step);
  });
}

function ranges(indices) {
  const found = [];
  for (const index of indices) {
    const last = found.at(-1);
    if (last && last[1] === index - 1) last[1] = index;
    else found.push([index, index]);
  }
  return found.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",");
}
