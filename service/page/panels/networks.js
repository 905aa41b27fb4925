// What is in the store: runs with their snapshots, and single networks.

import { content, isFile, path } from "weightome/api.js";
import { everyNetwork, forget } from "weightome/catalogue.js";
import { series } from "weightome/colours.js";
import { html, svg } from "weightome/element.js";
import { compact, count, short } from "weightome/numbers.js";
import { explained } from "weightome/problems.js";
import { uploading } from "weightome/upload.js";

const MANY = 60;

export default {
  id: "networks",
  title: "Networks",
  about: "store",
  summary: "Every trained network in the store, down to its last link. Choose one to see it.",
  controls: [
    { name: "filter", label: "Filter", kind: "text", placeholder: "name, run or format", default: "" },
  ],
  async render(body, context) {
    const all = await everyNetwork(context.ask);
    const add = isFile() ? null : adding(context);
    if (all.length === 0) {
      context.empty("The store is empty. Put a network into it:", ways(), add);
      return;
    }
    const wanted = context.values.filter.toLowerCase();
    const fits = ({ network, run, source }) => (
      [network, run, source].some((text) => text?.toLowerCase().includes(wanted)));
    const found = all.filter(fits);
    context.status(`${found.length} of ${all.length} networks`);
    const compared = comparison(context);
    const groups = Map.groupBy?.(found, ({ run }) => run) ?? grouped(found);
    body.append(
      html("div.bar", null,
        html("p.quiet", null, wanted ? `${found.length} of ` : "", totals(all)),
        compared.element,
      ),
    );
    if (found.length === 0) {
      body.append(html("p.empty", null, `No network, run or format has “${context.values.filter}” in its name.`));
    }
    for (const [run, networks] of [...groups].sort(byRun)) {
      const rows = networks.map((each) => row(each, context, compared));
      body.append(group(run, networks, rows, context, found.length > MANY && !wanted));
    }
    if (add) body.append(add);
  },
};

// Files on their way stay in sight when one looks elsewhere meanwhile: this is made once.
const uploads = { element: null, context: null };

function adding(context) {
  uploads.context = context;
  uploads.element ??= uploading(() => changed(uploads.context));
  return uploads.element;
}

function changed(context) {
  forget();
  if (!context.signal.aborted) context.again();
}

function ways() {
  const way = (command, meaning) => html("li", null, html("code", null, command), ` ${meaning}`);
  return html("ul.ways", null,
    way("make demo", "trains a small network on handwritten digits and stores five snapshots of it"),
    way("weightome ingest FILE", "stores a model of yours: ONNX, Keras, safetensors, PyTorch, …"),
  );
}

function totals(all) {
  const links = all.reduce((sum, network) => sum + network.links, 0);
  const runs = new Set(all.map(({ run }) => run).filter(Boolean)).size;
  return `${many(all.length, "network")}, ${many(runs, "run")}, ${many(links, "link")}`;
}

const many = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

function grouped(networks) {
  const groups = new Map();
  for (const network of networks) {
    groups.set(network.run, [...(groups.get(network.run) ?? []), network]);
  }
  return groups;
}

function byRun([one], [other]) {
  // Networks without a run come last.
  if (one === null || other === null) return (one === null) - (other === null);
  return one.localeCompare(other, "en", { numeric: true });
}

function group(run, networks, rows, context, closed) {
  const head = run === null
    ? html("summary", null, html("h2", null, "Single networks"), html("span.quiet", null, `${networks.length}`))
    : html("summary", null,
        html("h2", null, run),
        html("span.quiet", null, steps(networks)),
        progress(networks),
        html("a.button", { href: context.link({ panel: "dynamics", run }) }, "Dynamics"),
      );
  const metrics = metricNames(networks);
  const titles = ["", "Network", "Step", "Layers", "Neurons", "Links", ...metrics, "Format", ""];
  // Thousands of rows are only made when somebody opens them.
  const body = html("tbody");
  const fill = () => body.childElementCount || body.append(...rows.map((make) => make(metrics)));
  if (!closed) fill();
  return html("details.group", { open: !closed, ontoggle: fill }, head,
    html("div.table", { tabindex: "0", role: "region", "aria-label": run ?? "Single networks" },
      html("table", null,
        html("thead", null, html("tr", null, titles.map((title, index) => (
          html("th", { scope: "col", class: index > 1 && index < 6 + metrics.length ? "number" : null },
            title || html("span.visually-hidden", null, index ? "Delete" : "Compare")))))),
        body,
      ),
    ),
  );
}

function steps(networks) {
  const all = networks.map(({ step }) => step);
  const range = all.length > 1 ? `, steps ${all[0]} to ${all.at(-1)}` : "";
  return `${many(networks.length, "snapshot")}${range}`;
}

function metricNames(networks) {
  const names = new Set(networks.flatMap(({ metrics }) => Object.keys(metrics)));
  return [...names].slice(0, 4);
}

function row(each, context, compared) {
  const { network, step, view, layers, neurons, links, source, metrics, created } = each;
  const number = (value, text = value < 100_000 ? count(value) : compact(value)) => html("td.number", { title: String(value) }, text);
  return (names) => html("tr", { "data-network": network },
    html("td", null, compared.box(network)),
    html("th", { scope: "row" },
      html("a", { href: context.link({ panel: "architecture", network }) }, network),
      view === "unrolled" ? html("span.tag", null, "unrolled") : null,
    ),
    html("td.number", null, step ?? ""),
    number(layers), number(neurons), number(links),
    names.map((name) => html("td.number", null, name in metrics ? short(metrics[name]) : "")),
    html("td.quiet", { title: `stored ${created}` }, source),
    html("td", null, isFile() ? null : html("button.icon", {
      type: "button", "aria-label": `Delete ${network}`, title: `Delete ${network}`,
      onclick: () => remove(network, context),
    }, "✕")),
  );
}

/** The first metric of a run over its snapshots, as a line small enough for a title. */
function progress(networks) {
  const [name] = metricNames(networks);
  const points = networks.filter(({ metrics }) => Number.isFinite(metrics[name]));
  if (points.length < 2) return null;
  const values = points.map(({ metrics }) => metrics[name]);
  const least = Math.min(...values);
  const range = Math.max(...values) - least || 1;
  const place = (value, index) => (
    `${(2 + (index / (values.length - 1)) * 76).toFixed(1)},${(20 - ((value - least) / range) * 16).toFixed(1)}`);
  const said = `${name} from ${short(values[0])} to ${short(values.at(-1))}`;
  return html("span.progress", { title: said },
    svg("svg", { viewBox: "0 0 80 24", width: 80, height: 24, role: "img", "aria-label": said },
      svg("polyline", {
        points: values.map(place).join(" "), fill: "none", stroke: series(0), "stroke-width": 2,
        "stroke-linejoin": "round",
      })),
    html("span", null, `${name} ${short(values.at(-1))}`),
  );
}

/** Boxes to tick two networks, and the button that compares them. */
function comparison(context) {
  const ticked = [];
  const element = html("div.compare", null);
  const show = () => {
    const [network, other] = ticked;
    element.replaceChildren(other === undefined
      ? html("span.quiet", null, network === undefined ? "Tick two networks to compare them" : "Tick another one")
      : html("a.button.primary", { href: context.link({ panel: "compare", network, values: { other } }) },
          `Compare ${network} with ${other}`));
  };
  const box = (name) => {
    const input = html("input", { type: "checkbox", "aria-label": `Compare ${name}` });
    input.addEventListener("change", () => {
      if (input.checked) ticked.push(name);
      else ticked.splice(ticked.indexOf(name), 1);
      if (ticked.length > 2) {
        const first = ticked.shift();
        const row = document.querySelector(`tr[data-network="${CSS.escape(first)}"] input`);
        row.checked = false;
      }
      show();
    });
    return input;
  };
  show();
  return { element, box };
}

function remove(network, context) {
  const place = html("div");
  const dialog = html("dialog.ask", { "aria-labelledby": "delete-title" },
    html("h2", { id: "delete-title" }, "Delete this network?"),
    html("p", null, html("strong", null, network), " goes from the store with all its links. This cannot be undone."),
    place,
    html("div.buttons", null,
      html("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Keep it"),
      html("button.danger", { type: "button", onclick: () => send() }, "Delete"),
    ),
  );
  const send = async () => {
    try {
      await content("DELETE", path`/v1/networks/${network}`);
      dialog.close();
      changed(context);
    } catch (error) {
      place.replaceChildren(explained(error, send));
    }
  };
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
