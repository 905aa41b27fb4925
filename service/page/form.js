// A form made of the parameters of a question, as GET /v1/queries tells them (JSON Schema).

import { html } from "weightome/element.js";

/**
 * @param {object} question a record of /v1/queries
 * @param {Record<string, string>} given values by parameter, and `limit`; several of a list joined
 *   by commas
 * @param {{suggest: (parameter: string, read: () => object) => Promise<string[]>, send: Function}} how
 *   `suggest` names values that there are; `send` gets what was filled in
 */
export function questionForm(question, given, { suggest, send }) {
  const { properties, required } = question.parameters;
  const fields = Object.entries(properties)
    .filter(([name]) => name !== "after")
    .map(([name, schema]) => {
      const title = name === "name" ? question.about : name;
      return { name, ...field(name, title, schema, given[name], required.includes(name)) };
    });
  const limit = html("input", { type: "number", name: "limit", min: 1, max: 100_000, required: true, value: given.limit });
  const read = () => ({
    ...Object.fromEntries(fields.map((each) => [each.name, each.read()])), limit: limit.value,
  });
  for (const each of fields) {
    each.input?.addEventListener("focus", async () => {
      const names = await suggest(each.name, read);
      each.list.replaceChildren(...names.map((value) => html("option", { value })));
    });
  }
  const form = html("form.question-form", { "aria-label": question.title },
    html("div.fields", null, fields.map(({ element }) => element)),
    html("div.fields.ask-row", null,
      html("label.control.number", null, html("span.label", null, "rows at most"), limit),
      html("button.primary", { type: "submit" }, "Ask")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(read());
  });
  return form;
}

/** Values of a form as the parameters of a request: without what is left out or is the default. */
export function parametersOf(question, given) {
  const parameters = {};
  for (const [name, schema] of Object.entries(question.parameters.properties)) {
    const text = given[name] ?? "";
    if (text === "" || text === initial(schema)) continue;
    parameters[name] = schema.type === "array" ? text.split(",").map((part) => part.trim()) : text;
  }
  return parameters;
}

const initial = (schema) => (schema.default === undefined ? "" : String(schema.default));

function field(name, called, schema, given, required) {
  const text = given ?? initial(schema);
  const made = control(name, schema, text, required);
  const help = html("span.help", { id: `help-${name}` }, plain(schema.description));
  made.described?.setAttribute("aria-describedby", help.id);
  const title = html("span.label", null, called, required ? " (needed)" : "");
  const element = made.group
    ? html("fieldset.control", null, html("legend.label", null, called), made.element, help)
    : html("div.control", null, html("label", null, title, made.element), help);
  return { ...made, element };
}

function control(name, schema, text, required) {
  const options = schema.enum ?? schema.items?.enum;
  if (schema.type === "array" && options) return several(name, options, text);
  if (options) {
    const select = html("select", { name, required }, required || schema.default !== undefined ? null : html("option", { value: "" }, "not given"),
      options.map((value) => html("option", { value }, value)));
    select.value = text;
    return { element: select, described: select, read: () => select.value };
  }
  if (schema.type === "boolean") {
    const box = html("input", { type: "checkbox", name });
    box.checked = text === "true";
    return { element: box, described: box, read: () => String(box.checked) };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const input = html("input", { type: "number", name, required, value: text, step: schema.type === "integer" ? 1 : "any" });
    return { element: input, described: input, read: () => input.value };
  }
  const list = html("datalist", { id: `suggested-${name}` });
  const input = html("input", {
    type: "text", name, required, value: text, list: list.id, autocomplete: "off", spellcheck: "false",
    placeholder: schema.type === "array" ? "several: separate them by commas" : null,
  });
  return { element: [input, list], described: input, input, list, read: () => input.value };
}

function several(name, options, text) {
  const chosen = new Set(text.split(",").filter(Boolean));
  const boxes = options.map((value) => {
    const box = html("input", { type: "checkbox", name, value });
    box.checked = chosen.has(value);
    return box;
  });
  const element = html("span.several", null, boxes.map((box) => html("label", null, box, box.value)));
  const read = () => boxes.filter((box) => box.checked).map((box) => box.value).join(",");
  return { element, group: true, read };
}

const plain = (text = "") => text.replaceAll("`", "");
