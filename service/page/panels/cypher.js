// A question of one's own, in Cypher, where the service takes it.

import { html } from "weightome/element.js";
import { table } from "weightome/table.js";

export default {
  id: "cypher",
  title: "Cypher",
  about: "store",
  summary: "A question of your own. It can only read; whatever writes is refused before it runs.",
  controls: [],
  async render(body, context) {
    const text = context.values.text ?? "";
    const field = html("textarea", {
      name: "cypher", rows: 8, spellcheck: "false", "aria-label": "Cypher", required: true,
      placeholder: "Write your query here, or copy one from “Show the Cypher” of any panel.",
    });
    field.value = text;
    const parameters = html("textarea", { name: "parameters", rows: 2, spellcheck: "false", "aria-label": "Parameters as JSON" });
    parameters.value = context.values.parameters ?? "{}";
    const limit = html("input", { type: "number", name: "limit", min: 1, max: 100000, value: context.values.limit ?? 1000 });
    const result = html("div");
    const form = html("form.cypher", { "aria-label": "Cypher" },
      field,
      html("div.fields", null,
        html("label.control.wide", null, html("span.label", null, "Parameters (JSON)"), parameters),
        html("label.control", null, html("span.label", null, "Rows at most"), limit),
        html("button.primary", { type: "submit" }, "Ask"),
        html("span.quiet", null, "Ctrl+Enter asks too"),
      ));
    const ask = () => {
      const given = parameters.value.trim() || "{}";
      try {
        JSON.parse(given);
        parameters.setCustomValidity("");
      } catch {
        parameters.setCustomValidity("This is not JSON: write {\"name\": value}.");
      }
      if (!form.reportValidity()) return;
      const values = { text: field.value, parameters: given === "{}" ? "" : given, limit: limit.value === "1000" ? "" : limit.value };
      const same = field.value === text && given === (context.values.parameters ?? "{}") && limit.value === String(context.values.limit ?? 1000);
      if (same) context.again();
      else context.set({ values });
    };
    parameters.addEventListener("input", () => parameters.setCustomValidity(""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      ask();
    });
    body.append(form, result);
    if (text.trim()) await answer(result, text, context);
  },
};

async function answer(place, text, context) {
  place.append(html("p.quiet", null, "Asking …"));
  try {
    const asked = await context.post("/v1/cypher", { limit: context.values.limit ?? 1000 }, {
      cypher: text, parameters: JSON.parse(context.values.parameters ?? "{}"),
    });
    context.status(`${asked.length} rows`);
    place.replaceChildren(
      html("p.quiet", null, `${asked.length} rows${asked.truncated ? ", cut by the limit" : ""}, ${asked.took_ms.toFixed(0)} ms`),
      table(asked, { caption: "Answer" }));
  } catch (error) {
    if (context.signal.aborted) return;
    // What was written must not get lost: the problem stands below it.
    const hint = error.code === "cypher_disabled"
      ? "Whoever runs the service can start it with `weightome serve --enable-cypher`." : "";
    place.replaceChildren(html("div.problem", { role: "alert" },
      html("p", null, html("strong", null, error.message)), hint ? html("p", null, hint) : null));
  }
}
