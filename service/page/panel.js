// A panel: what one module of panels/ says of itself, in the frame that every panel has.
//
// A panel is `export default {id, title, about, summary, controls, async render(body, context)}`:
//
//   about     "store", "network" or "run": what must be chosen
//   controls  see controls.js; their values stand in the address and come in `context.values`
//   render    fills `body`, an empty element that is in the document; called anew when values change
//
// The context of a rendering:
//
//   values             of the controls, and any other that the panel put into the address, as text
//   network, run       the names that are chosen; "" where none is
//   ask(path, {...})   an Answer; see api.js. It is listed under "Show the Cypher" and as CSV
//   post(path, parameters, body)   the same for what is sent as JSON
//   set({values: {...}})           changes values and keeps the others; undefined: its default
//   set({panel, network, values})  goes elsewhere: a step that the back button takes back
//     set(state, {replace: true})  makes no such step, as while a slider is drawn
//     set(state, {render: false})  the panel shows the new values itself
//   again()            asks and renders anew: what it asked before is not what is there now
//   link({...})        the address of such a state, for an <a href>
//   signal             aborted when the panel is rendered anew or left: release things then
//   theme              "light" or "dark"; a panel is rendered anew when it changes
//   picture(make, label?)  how to give a picture: make("png" | "svg") -> Promise<Blob>
//   empty(sentence, ...nodes)   shows that there is nothing, and what to do
//   status(sentence)   says it to those who listen rather than see

import { Answers } from "weightome/answers.js";
import { ask, post } from "weightome/api.js";
import { theme } from "weightome/colours.js";
import { Controls } from "weightome/controls.js";
import { html } from "weightome/element.js";
import { explained } from "weightome/problems.js";
import { go, written } from "weightome/state.js";

/** A panel that is on show, for one network, run or the store. */
export class Shown {
  /**
   * @param {object} panel
   * @param {import("weightome/state.js").State} state
   * @param {HTMLElement} place emptied and filled
   */
  constructor(panel, state, place) {
    this.panel = panel;
    this.state = state;
    this._rendering = new AbortController();
    this._left = new AbortController();
    this._kept = new Map();
    this._controls = new Controls(panel.controls ?? [], (change, how) => this._set(change, how));
    this._answers = new Answers([panel.id, state.network || state.run]);
    this._status = html("p.visually-hidden", { role: "status" });
    this._body = html("div.body");
    place.replaceChildren(
      html("div.panel-head", null,
        html("div", null,
          html("h1", { tabindex: "-1" }, panel.title),
          html("p.summary", null, panel.summary),
        ),
        this._answers.actions,
      ),
      this._controls.element,
      this._status,
      this._body,
      this._answers.element,
    );
    place.dataset.panel = panel.id;
    this._open();
  }

  /** Whether a state is this panel about the same network or run: only values may differ. */
  serves({ panel, network, run }) {
    return panel === this.panel.id && network === this.state.network && run === this.state.run;
  }

  /** Shows the values of a state. */
  async update(state) {
    const same = JSON.stringify(state.values) === JSON.stringify(this.state.values);
    this.state = state;
    if (same) return;
    this._controls.show(state.values);
    await this._render();
  }

  /** Ends what the panel still does. */
  leave() {
    this._left.abort();
    this._rendering.abort();
  }

  async _open() {
    this._controls.show(this.state.values);
    const context = this._context(this._left.signal, (answer) => this._answers.addOption(answer));
    // The panel need not wait for what its controls offer.
    const filled = this._controls.fill(context).catch((error) => this._fail(error, this._left));
    await this._render();
    await filled;
  }

  async _render() {
    this._rendering.abort();
    const rendering = (this._rendering = new AbortController());
    // The page keeps its place while the new body is still empty.
    const body = html("div.body", { style: { "min-height": `${this._body.offsetHeight}px` } });
    body.setAttribute("aria-busy", "true");
    this._body.replaceWith(body);
    this._body = body;
    this._answers.clear();
    const context = this._context(rendering.signal, (answer) => this._answers.add(answer));
    try {
      await this.panel.render(body, context);
    } catch (error) {
      this._fail(error, rendering);
    } finally {
      if (!rendering.signal.aborted) {
        body.removeAttribute("aria-busy");
        body.style.removeProperty("min-height");
      }
    }
  }

  _fail(error, { signal }) {
    if (signal.aborted) return;
    this._body.replaceChildren(explained(error, () => this._render()));
    // A fault of the page itself is one for the console too.
    if (error.name !== "Problem") console.error(error);
  }

  _context(signal, heard) {
    const { network, run } = this.state;
    const asked = async (key, question) => {
      if (!this._kept.has(key)) {
        const answer = question();
        answer.catch(() => this._kept.delete(key));
        this._kept.set(key, answer);
      }
      const answer = await this._kept.get(key);
      signal.throwIfAborted();
      heard(answer);
      return answer;
    };
    return {
      values: this._controls.values(this.state.values),
      network,
      run,
      signal,
      theme: theme(),
      // Networks do not change: what this panel asked once it need not ask again.
      ask: (path, parameters = {}) =>
        asked(JSON.stringify([path, parameters]), () => ask(path, parameters, this._left.signal)),
      post: async (path, parameters, body) => {
        const answer = await post(path, parameters, body, signal);
        heard(answer);
        return answer;
      },
      set: (change, how) => this._set(change, how),
      again: () => {
        this._kept.clear();
        return this._render();
      },
      link: (change) => written(this._changed(change)),
      picture: (make, label = "") => this._answers.addPicture(make, label),
      empty: (sentence, ...nodes) => {
        const said = html("div.empty", null, html("p", null, sentence), ...nodes);
        this._body.replaceChildren(said);
      },
      status: (sentence) => (this._status.textContent = sentence),
    };
  }

  _changed(change) {
    if (change.panel ?? change.network ?? change.run ?? false) {
      const panel = change.panel ?? this.panel.id;
      return { panel, network: change.network, run: change.run, values: change.values ?? {} };
    }
    const values = this._controls.written({ ...this.state.values, ...change.values });
    return { ...this.state, values };
  }

  _set(change, { replace = false, render = true } = {}) {
    const state = this._changed(change);
    if (!render) {
      this.state = state;
      this._controls.show(state.values);
    }
    go(state, { replace });
  }
}
