// What stands behind a panel: "Show the Cypher", its answers as CSV and its pictures as files.

import { csv, fileName, save } from "weightome/download.js";
import { html } from "weightome/element.js";

export class Answers {
  /** @param {string[]} named parts of the names of the files */
  constructor(named) {
    this._named = named;
    this._asked = new Map();
    this._options = new Map();
    this._pictures = [];
    this.element = html("section.answers", { id: "answers", "aria-label": "The Cypher" });
    this.element.hidden = true;
    this._toggle = html("button", {
      type: "button", "aria-expanded": "false", "aria-controls": "answers",
      onclick: () => this._show(this.element.hidden),
    }, "Show the Cypher");
    this._files = html("span.files");
    this.actions = html("div.actions", null, this._files, this._toggle);
    this._refresh();
  }

  /** Forgets the answers and pictures of the last rendering. */
  clear() {
    this._asked.clear();
    this._pictures = [];
    this._refresh();
  }

  add(answer) {
    this._asked.set(answer.address, answer);
    this._refresh();
  }

  /** Adds an answer that only fills the controls. */
  addOption(answer) {
    this._options.set(answer.address, answer);
    this._refresh();
  }

  addPicture(make, label) {
    this._pictures = [...this._pictures.filter((each) => each.label !== label), { make, label }];
    this._refresh();
  }

  _all() {
    return [...new Map([...this._asked, ...this._options]).values()];
  }

  _refresh() {
    const asked = [...this._asked.values()];
    this._toggle.hidden = this._all().length === 0;
    const table = asked.map((answer) => this._csv(answer, asked.length === 1 ? "CSV" : undefined));
    const pictures = this._pictures.flatMap(({ make, label }) => ["png", "svg"].map((kind) => {
      const name = fileName([...this._named, label], kind);
      const text = [label, kind.toUpperCase()].filter(Boolean).join(" ");
      return html("button", {
        type: "button", onclick: async () => save(await make(kind), name),
      }, text);
    }));
    const menu = (title, entries, most) => (entries.length <= most
      ? entries
      : [dropdown(title, entries)]);
    this._files.replaceChildren(...menu("Pictures", pictures, 2), ...menu("CSV", table, 1));
    if (!this.element.hidden) this._fill();
  }

  _csv(answer, text = `CSV of ${named(answer)}`) {
    const name = fileName([...this._named, named(answer)], "csv");
    return html("button", {
      type: "button", title: `${answer.length} rows`, onclick: () => save(csv(answer), name),
    }, text);
  }

  _show(shown) {
    this.element.hidden = !shown;
    this._toggle.setAttribute("aria-expanded", String(shown));
    this._toggle.textContent = shown ? "Hide the Cypher" : "Show the Cypher";
    if (!shown) return;
    this._fill();
    this.element.scrollIntoView({ block: "nearest" });
  }

  _fill() {
    this.element.replaceChildren(...this._all().map((answer) => this._entry(answer)));
  }

  _entry(answer) {
    const text = answer.cypher.trim() || "// The service answers this without a query.";
    const parameters = JSON.stringify(answer.parameters, null, 2);
    const facts = `${answer.length} rows${answer.truncated ? ", cut by the limit" : ""}, `
      + `${answer.took_ms.toFixed(0)} ms in the database`;
    const copy = html("button", { type: "button" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(`${text}\n\n// parameters\n${commented(parameters)}\n`);
      copy.textContent = "Copied";
    });
    return html("article", null,
      html("header", null,
        html("h2", null, html("code", null, answer.address)),
        html("span.quiet", null, facts),
        copy, this._csv(answer, "CSV"),
      ),
      html("pre", { tabindex: "0" }, html("code", null, text)),
      parameters === "{}" ? null : html("pre.parameters", { tabindex: "0" },
        html("code", null, parameters)),
      answer.notes.map((note) => html("p.note", null, note)),
    );
  }
}

/** Entries that are shown on demand, until one is chosen, Escape is pressed or one looks elsewhere. */
function dropdown(title, entries) {
  const element = html("details.menu", null, html("summary", null, title), html("div", null, entries));
  const close = () => (element.open = false);
  element.addEventListener("click", (event) => event.target.closest("button") && close());
  element.addEventListener("focusout", (event) => element.contains(event.relatedTarget) || close());
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    element.querySelector("summary").focus();
  });
  return element;
}

function named(answer) {
  const [path, query] = answer.address.split("?");
  const question = decodeURIComponent(path.split("/").slice(3).join(" ")) || path.split("/").pop();
  return [question, query && decodeURIComponent(query)].filter(Boolean).join(" ");
}

function commented(text) {
  return text.split("\n").map((each) => `// ${each}`).join("\n");
}
