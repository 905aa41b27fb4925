// The page: chooses the panel that the address asks for, and shows it.

import architecture from "weightome/panels/architecture.js";
import compare from "weightome/panels/compare.js";
import cypher from "weightome/panels/cypher.js";
import distributions from "weightome/panels/distributions.js";
import dynamics from "weightome/panels/dynamics.js";
import matrix from "weightome/panels/matrix.js";
import networks from "weightome/panels/networks.js";
import neurons from "weightome/panels/neurons.js";
import paths from "weightome/panels/paths.js";
import questions from "weightome/panels/questions.js";
import { isFile, opening } from "weightome/api.js";
import { html } from "weightome/element.js";
import { Navigation } from "weightome/navigation.js";
import { Shown } from "weightome/panel.js";
import { attachSearch } from "weightome/search.js";
import { HOME, current, go, listen, read } from "weightome/state.js";
import { attachTheme } from "weightome/theme.js";

// A file with its answers in it has only some: see service/standalone.py.
const PANELS = [
  networks, questions, cypher,
  architecture, neurons, matrix, paths, distributions, compare,
  dynamics,
].filter(Boolean);

const main = document.getElementById("main");
const navigation = new Navigation(document.getElementById("panels"), PANELS);
let shown = null;

function show(state) {
  const panel = PANELS.find(({ id, about }) => id === state.panel && about === aboutOf(state));
  navigation.show(state);
  if (panel === undefined) {
    shown?.leave();
    shown = null;
    astray(state);
    return;
  }
  document.title = [panel.title, state.network || state.run, "Weightome"].filter(Boolean).join(" · ");
  if (shown?.serves(state)) {
    shown.update(state);
    return;
  }
  const first = shown === null;
  shown?.leave();
  shown = new Shown(panel, state, main);
  // Who follows a link by keyboard, or hears the page, goes on at the new panel.
  if (!first) main.querySelector("h1").focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
}

function aboutOf({ network, run }) {
  if (network) return "network";
  return run ? "run" : "store";
}

function astray({ panel, network, run }) {
  // The address of a network alone opens its architecture, that of a run its dynamics.
  const first = PANELS.find(({ about }) => about === aboutOf({ network, run }));
  if (!panel && first) go({ panel: first.id, network, run }, { replace: true });
  else if (panel === HOME && isFile()) go(read(opening()), { replace: true });
  else {
    main.replaceChildren(html("div.empty", null,
      html("p", null, `This page has no panel “${panel}”.`),
      html("a.button", { href: "#/" }, "All networks"),
    ));
  }
}

// What stands behind the # is the state: a link to a place in the page would change it.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
attachTheme(document.getElementById("theme"), () => {
  // Canvases do not follow the style sheet.
  const state = current();
  shown?.leave();
  shown = null;
  show(state);
});
attachSearch(document.getElementById("search"), PANELS);
listen(show);
if (isFile()) document.documentElement.dataset.file = "true";
show(current());
