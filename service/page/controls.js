// The controls above a panel. Each is one of
//
//   {name, label, kind: "choice", options: async (context) => [value | {value, label}], default}
//   {name, label, kind: "number", min, max, step, default}
//   {name, label, kind: "range", min, max, step, default}
//   {name, label, kind: "text", placeholder, default}
//   {name, label, kind: "toggle", default}
//
// `options` may be a list too. A `hint` is shown under the control's name when one points at it.

import { html } from "weightome/element.js";

const PATIENCE_MS = 200;

export class Controls {
  /**
   * @param {object[]} controls
   * @param {(change: object, how: object) => void} set as of the context, see panel.js
   */
  constructor(controls, set) {
    this._controls = controls;
    this._fields = new Map(controls.map((control) => [control.name, field(control, set)]));
    const rows = controls.map((control) => labelled(control, this._fields.get(control.name)));
    this.element = html("form.controls", { "aria-label": "Controls" }, rows);
    this.element.hidden = controls.length === 0;
    this.element.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Values from an address, each in the type of its control; defaults where none is given. */
  values(given) {
    const values = { ...given };
    for (const control of this._controls) {
      values[control.name] = typed(control, given[control.name]);
    }
    return values;
  }

  /** Values for an address: as text, without those that are the default. */
  written(values) {
    const texts = {};
    for (const [name, value] of Object.entries(values)) {
      const control = this._controls.find((each) => each.name === name);
      if (value === undefined || value === null || value === "") continue;
      if (control && typed(control, String(value)) === control.default) continue;
      texts[name] = String(value);
    }
    return texts;
  }

  /** Sets the fields to the values of an address. */
  show(given) {
    for (const control of this._controls) {
      const shown = this._fields.get(control.name);
      const value = typed(control, given[control.name]);
      if (shown.read() !== value) shown.write(value);
    }
  }

  /** Fills the choices. */
  async fill(context) {
    const choices = this._controls.filter(({ kind }) => kind === "choice");
    await Promise.all(choices.map(async ({ name, options }) => {
      const offered = typeof options === "function" ? await options(context) : options;
      this._fields.get(name).offer(offered);
    }));
  }
}

function typed(control, text) {
  if (text === undefined) return control.default;
  if (control.kind === "toggle") return text === "true";
  if (control.kind !== "number" && control.kind !== "range") return text;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) return control.default;
  return Math.min(control.max ?? Infinity, Math.max(control.min ?? -Infinity, value));
}

function labelled(control, { element, beside }) {
  const text = html("span.label", null, control.label, beside);
  return html(`label.control.${control.kind}`, { title: control.hint }, text, element);
}

function field(control, set) {
  const { name, kind, min, max, step, placeholder } = control;
  const send = (value, how) => set({ values: { [name]: value } }, how);
  if (kind === "choice") return choice(control, send);
  if (kind === "toggle") {
    const element = html("input", { type: "checkbox", name });
    element.addEventListener("change", () => send(element.checked));
    return { element, read: () => element.checked, write: (value) => (element.checked = value) };
  }
  const numeric = kind !== "text";
  const element = html("input", {
    type: kind, name, min, max, placeholder,
    step: numeric ? (step ?? (Number.isInteger(control.default) ? 1 : "any")) : undefined,
    spellcheck: "false", autocomplete: "off",
  });
  const beside = kind === "range" ? html("output") : null;
  const read = () => (numeric ? element.valueAsNumber : element.value);
  const told = () => {
    if (beside) beside.textContent = element.value;
  };
  const change = () => {
    clearTimeout(waiting);
    if (numeric && !Number.isFinite(read())) return;
    if (element.reportValidity()) send(read(), { replace: true });
  };
  let waiting = 0;
  element.addEventListener("change", change);
  element.addEventListener("input", () => {
    told();
    clearTimeout(waiting);
    // Text is for when it is written out: half a name would only be an error.
    if (numeric) waiting = setTimeout(change, PATIENCE_MS);
  });
  const write = (value) => {
    element.value = value;
    told();
  };
  return { element, beside, read, write };
}

function choice(control, send) {
  const element = html("select", { name: control.name });
  element.addEventListener("change", () => send(element.value));
  const ensure = (value) => {
    // What a link asks for is shown even where it is not offered: the answer says what is wrong.
    if (![...element.options].some((option) => option.value === value)) {
      element.append(html("option", { value }, value || "…"));
    }
    element.value = value;
  };
  const offer = (options) => {
    const { value } = element;
    element.replaceChildren(...options.map((option) => {
      const given = typeof option === "object" ? option : { value: option, label: option };
      return html("option", { value: given.value }, given.label);
    }));
    ensure(value);
  };
  return { element, read: () => element.value, write: ensure, offer };
}
