// The list of panels: about the store, about the network that is chosen, and about its run.

import { catalogue } from "weightome/catalogue.js";
import { html } from "weightome/element.js";
import { remembered, written } from "weightome/state.js";

const TITLES = { store: "Store", network: "Network", run: "Run" };

export class Navigation {
  constructor(element, panels) {
    this._element = element;
    this._panels = panels;
    this._state = null;
    addEventListener("weightome-catalogue", () => this._state && this.show(this._state));
  }

  show(state) {
    this._state = state;
    if (state.network) {
      if (state.network !== remembered.network) remembered.run = "";
      remembered.network = state.network;
    }
    if (state.run) remembered.run = state.run;
    this._draw();
    this._complete(state);
  }

  async _complete(state) {
    try {
      const networks = await catalogue();
      if (state !== this._state) return;
      const names = new Set(networks.map(({ network }) => network));
      if (!names.has(remembered.network) && !state.network) remembered.network = "";
      const of = networks.find(({ network }) => network === remembered.network);
      if (state.network) remembered.run = of?.run ?? "";
      else if (state.run && of?.run !== state.run) {
        const snapshots = networks.filter(({ run }) => run === state.run);
        remembered.network = snapshots.at(-1)?.network ?? "";
      }
      this._draw();
    } catch {
      // The panel asks too, and shows what is wrong.
    }
  }

  _draw() {
    const focused = this._element.contains(document.activeElement)
      ? document.activeElement.getAttribute("href") : null;
    const groups = [
      this._group("store", ""),
      remembered.network && this._group("network", remembered.network),
      remembered.run && this._group("run", remembered.run),
    ];
    this._element.replaceChildren(...groups.filter(Boolean));
    // On a narrow screen the list is a line that scrolls.
    for (const link of this._element.querySelectorAll("[aria-current]")) {
      const line = link.closest("ul");
      line.scrollLeft = link.offsetLeft - line.offsetLeft - line.clientWidth / 4;
    }
    if (focused) this._element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  _group(about, name) {
    const { panel, network, run } = this._state;
    const chosen = { network: about === "network" ? name : "", run: about === "run" ? name : "" };
    const here = network === chosen.network && run === chosen.run;
    const links = this._panels.filter((each) => each.about === about).map(({ id, title }) => (
      html("li", null, html("a", {
        href: written({ panel: id, ...chosen }),
        "aria-current": here && panel === id ? "page" : null,
      }, title))
    ));
    if (links.length === 0) return null;
    return html("section", null,
      html("h2", null, TITLES[about], name ? html("span.name", { title: name }, name) : null),
      html("ul", null, links),
    );
  }
}
