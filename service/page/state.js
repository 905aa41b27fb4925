// What the page shows stands in the address behind the #, so that a link, a reload and the back
// button bring the same view:
//
//   #/                                     the panel `networks`, about the store
//   #/questions?question=strength          another panel about the store
//   #/networks/NAME/architecture?layer=fc  a panel about a network
//   #/runs/NAME/dynamics?step=5            a panel about a run

export const HOME = "networks";
const PLACES = { networks: "network", runs: "run" };

/**
 * @typedef {object} State
 * @property {string} panel
 * @property {string} network "" where none is chosen
 * @property {string} run
 * @property {Record<string, string>} values those of the panel's controls that are not the defaults
 */

/** @returns {State} what an address such as "#/runs/digits/dynamics" asks for */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const values = Object.fromEntries(new URLSearchParams(query));
  const [first, second, third] = path.split("/").map(decoded);
  const state = { panel: first || HOME, network: "", run: "", values };
  if (second !== undefined && first in PLACES) {
    state[PLACES[first]] = second;
    state.panel = third || "";
  }
  return state;
}

/** The address of a state: the reverse of `read`. */
export function written({ panel, network = "", run = "", values = {} }) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  let path = panel === HOME ? "" : encodeURIComponent(panel);
  if (network) path = `networks/${encodeURIComponent(network)}/${encodeURIComponent(panel)}`;
  else if (run) path = `runs/${encodeURIComponent(run)}/${encodeURIComponent(panel)}`;
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** The network and the run that were chosen last: they stay at hand while one looks at the store. */
export const remembered = { network: "", run: "" };

/** The state of the page. */
export const current = () => read(location.hash);

/** Goes to a state; a step that the back button takes back unless `replace`. */
export function go(state, { replace = false } = {}) {
  const hash = written(state);
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}

/** Calls `changed` with the state whenever it is another. */
export function listen(changed) {
  addEventListener("hashchange", () => changed(current()));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    // Someone typed a lone %; the name as it stands gives an error that shows it.
    return text;
  }
}
