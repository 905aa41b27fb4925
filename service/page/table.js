// A table of an answer: sorted by a click on a column, and long ones piece by piece.

import { html } from "weightome/element.js";
import { shown } from "weightome/numbers.js";

const PIECE = 200;

/**
 * @param {import("weightome/api.js").Answer} answer
 * @param {object} [how]
 * @param {string[]} [how.columns] those to show; all without it
 * @param {Record<string, string>} [how.titles] of columns, where not their name
 * @param {Record<string, Function>} [how.cells] by column: (value, record) -> Node or text
 * @param {string} how.caption for those who do not see the table
 */
export function table(answer, { columns = answer.columns, titles = {}, cells = {}, caption }) {
  const records = answer.records();
  const numeric = new Set(columns.filter((name) => (
    records.some((record) => typeof record[name] === "number")
    && records.every((record) => record[name] === null || typeof record[name] === "number")
  )));
  let order = records;
  let sorted = { name: "", descending: false };
  let length = PIECE;

  const body = html("tbody");
  const more = html("button", { type: "button", onclick: () => { length *= 5; fill(); } });
  const heads = columns.map((name) => html("th", { scope: "col", class: numeric.has(name) ? "number" : null },
    html("button", { type: "button", onclick: () => sort(name) }, titles[name] ?? name)));

  function sort(name) {
    // Numbers are most wanted from the greatest down, names from A on.
    const descending = sorted.name === name ? !sorted.descending : numeric.has(name);
    sorted = { name, descending };
    order = [...records].sort((one, other) => compared(one[name], other[name], descending));
    heads.forEach((head, index) => {
      if (columns[index] === name) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    fill();
  }

  function fill() {
    body.replaceChildren(...order.slice(0, length).map((record) => html("tr", null,
      columns.map((name) => html("td", { class: numeric.has(name) ? "number" : null },
        cells[name] ? cells[name](record[name], record) : plain(record[name]))))));
    more.hidden = order.length <= length;
    more.textContent = `Show more of ${order.length} rows`;
  }

  fill();
  return html("div.table", { tabindex: "0", role: "region", "aria-label": caption },
    html("table", null, html("caption.visually-hidden", null, caption),
      html("thead", null, html("tr", null, heads)), body),
    more);
}

function plain(value) {
  const text = shown(value);
  return typeof value === "number" ? html("span", { title: String(value) }, text) : text;
}

function compared(one, other, descending) {
  // What is not there stands last, whichever way.
  if (one === null || other === null) return (one === null) - (other === null);
  const both = typeof one === "number" && typeof other === "number";
  const order = both ? one - other : shown(one).localeCompare(shown(other), "en", { numeric: true });
  return descending ? -order : order;
}
