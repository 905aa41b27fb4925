// A neuron's card: what is known of it, and its strongest links, each of which leads to the card of
// the neuron at its other end.

import { path } from "weightome/api.js";
import { signColour } from "weightome/colours.js";
import { html } from "weightome/element.js";
import { count, short } from "weightome/numbers.js";

const LINKS = 10;

/**
 * @param {object} context of the panel
 * @param {string} neuron such as "fc1/12"
 * @param {object} how
 * @param {(neuron: string) => void} how.open opens another neuron's card
 * @param {() => void} how.close
 * @param {[string, string][]} [how.more] further names and values
 * @param {import("weightome/picks.js").Picks} [how.picks] sets that the neuron may be picked for
 * @returns {Promise<{element: HTMLElement, links: object[]}>} the card, and its links as records of
 *   the question `neuron`
 * @throws {import("weightome/api.js").Problem} where there is no such neuron
 */
export async function card(context, neuron, { open, close, more = [], picks }) {
  const { network } = context;
  const answer = await context.ask(path`/v1/networks/${network}/neuron-card`, { neuron });
  const [about] = answer.records();
  const name = `${about.layer}/${about.neuron}`;
  const address = path`/v1/networks/${network}/layers/${about.layer}/neurons/${String(about.neuron)}`;
  const links = (await context.ask(address, { k: LINKS })).records();
  const to = (panel, values) => context.link({ panel, network, values });
  const element = html("section", { "aria-label": `Neuron ${name}`, "data-neuron": name },
    html("div", { style: { display: "flex", gap: "8px", "align-items": "start" } },
      html("h2", { style: { flex: "1", "overflow-wrap": "anywhere" } }, name),
      html("button.icon", { type: "button", "aria-label": "Close the card", onclick: close }, "✕"),
    ),
    html("p.quiet", null, described(about)),
    facts([
      ...more,
      ["Bias", about.bias === null ? "none" : short(about.bias)],
      ["Strength in", short(about.in)],
      ["Strength out", short(about.out)],
      ["Total strength", short(about.total)],
      ["Links in, out", `${count(about.in_degree)}, ${count(about.out_degree)}`],
      ...(about.wires_in || about.wires_out
        ? [["Fixed links in, out", `${count(about.wires_in)}, ${count(about.wires_out)}`]] : []),
    ]),
    ends("in", "Strongest links in", links, context, open),
    ends("out", "Strongest links out", links, context, open),
    html("div.buttons", null,
      html("a", { href: to("paths", { source: name }) }, "Paths from here"),
      html("a", { href: to("paths", { target: name }) }, "Paths to here"),
    ),
    picks && html("div.buttons", null, picks.buttons(name)),
  );
  return { element, links };
}

function described({ kind, activation, role, head, place }) {
  return [
    kind,
    activation && activation !== "identity" && kind !== activation ? activation : "",
    role ? `role ${role}` : "",
    head === null ? "" : `head ${head}`,
    place.length > 1 ? `at ${place.join(", ")}` : "",
  ].filter(Boolean).join(" · ");
}

function facts(pairs) {
  const entries = pairs.map(([name, value]) => [html("dt", null, name), html("dd", null, value)]);
  return html("dl.facts", null, entries);
}

function ends(direction, title, links, context, open) {
  const found = links.filter((link) => link.direction === direction);
  if (found.length === 0) return null;
  const greatest = Math.abs(found[0].weight);
  const rows = found.map(({ layer, neuron, weight }) => {
    const name = `${layer}/${neuron}`;
    const go = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open(name);
    };
    const share = greatest > 0 ? (100 * Math.abs(weight)) / greatest : 0;
    return html("tr", null,
      html("td", { style: { padding: "3px 0" } },
        html("a", { href: context.link({ values: { neuron: name } }), onclick: go }, name)),
      html("td", { style: { width: "38%", padding: "3px 8px" }, "aria-hidden": "true" },
        html("div", { style: {
          height: "9px", width: `${share}%`, "min-width": "1px", "border-radius": "2px",
          background: signColour(Math.sign(weight) * 0.75, 1),
        } })),
      html("td.number", { title: String(weight), style: { padding: "3px 0" } }, short(weight)));
  });
  return [html("h3", null, title), html("table", { "aria-label": title }, html("tbody", null, rows))];
}
