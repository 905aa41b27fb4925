// Every question that the service answers, each with a form of its own and its answer as a table.

import { path } from "weightome/api.js";
import { catalogue } from "weightome/catalogue.js";
import { html } from "weightome/element.js";
import { parametersOf, questionForm } from "weightome/form.js";
import { count } from "weightome/numbers.js";
import { explained } from "weightome/problems.js";
import { remembered } from "weightome/state.js";
import { table } from "weightome/table.js";

const ABOUT = {
  network: "About a network", run: "About a run", networks: "About several networks", store: "About the store",
};
const GIVEN = "p.";
const LIMIT = 1000;

export default {
  id: "questions",
  title: "Questions",
  about: "store",
  summary: "All questions that can be asked, as in the HTTP interface, the command line and Python.",
  controls: [],
  async render(body, context) {
    const questions = (await context.ask("/v1/queries")).records();
    const asked = questions.find(({ name }) => name === context.values.question);
    const place = html("section", { "aria-label": "Question" });
    body.append(html("div.questions", null, list(questions, context), place));
    if (asked) await show(place, asked, context);
    else {
      place.append(html("div.empty", null, html("p", null, "Choose a question."),
        html("p.quiet", null, `There are ${questions.length} of them.`)));
    }
  },
};

function list(questions, context) {
  const filter = html("input", { type: "search", placeholder: "Find a question", "aria-label": "Find a question" });
  const entries = questions.map((question) => ({
    about: question.about,
    text: `${question.title} ${question.doc}`.toLowerCase(),
    element: html("li", null, html("a", {
      href: context.link({ panel: "questions", values: { question: question.name, ...target(question, context) } }),
      title: question.doc, "aria-current": question.name === context.values.question ? "page" : null,
    }, question.title)),
  }));
  const groups = Object.entries(ABOUT).map(([about, title]) => (
    html("div", null, html("h3", null, title),
      html("ul", null, entries.filter((entry) => entry.about === about).map(({ element }) => element)))));
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const { text, element } of entries) element.hidden = !text.includes(wanted);
    for (const group of groups) group.hidden = !group.querySelector("li:not([hidden])");
  });
  return html("nav", { "aria-label": "Questions" }, filter, groups);
}

/** Who goes from question to question stays at the same network or run. */
function target({ about }, { values }) {
  const name = values.about === about && values[`${GIVEN}name`] ? values[`${GIVEN}name`] : remembered[about];
  return name ? { [`${GIVEN}name`]: name, about } : {};
}

async function show(place, question, context) {
  const given = Object.fromEntries(Object.entries(context.values)
    .filter(([name]) => name.startsWith(GIVEN)).map(([name, value]) => [name.slice(GIVEN.length), value]));
  const send = (filled) => {
    const used = parametersOf(question, filled);
    const values = { question: question.name, about: question.about, asked: "true" };
    if (filled.limit !== String(LIMIT)) values.limit = filled.limit;
    for (const [name, value] of Object.entries(used)) values[`${GIVEN}${name}`] = String(value);
    const state = { panel: "questions", values };
    if (context.link(state) === location.hash) context.again();
    else context.set(state);
  };
  const result = html("div");
  place.append(
    html("h2", null, question.title),
    html("p.doc", null, question.doc),
    question.survives ? html("p.quiet", null,
      question.survives.length ? `Stays the same under ${question.survives.join(", ")}.` : "Changes under permutation, rescaling and duplication.") : null,
    questionForm(question, { ...given, limit: context.values.limit ?? String(LIMIT) }, { send, suggest: (name, read) => suggested(name, question, read(), context) }),
    result,
  );
  if (context.values.asked === "true") await answer(result, question, given, context);
}

async function answer(place, question, given, context) {
  place.replaceChildren(html("p.quiet", null, "Asking …"));
  try {
    const parameters = parametersOf(question, given);
    const where = question.address.replace(/{(\w+)}/g, (_, name) => {
      const { [name]: value = "" } = parameters;
      delete parameters[name];
      return encodeURIComponent(value);
    });
    const asked = await context.ask(where, { ...parameters, limit: context.values.limit ?? LIMIT });
    context.status(`${asked.length} rows`);
    place.replaceChildren(
      html("p.quiet", null, `${count(asked.length)} rows${asked.truncated ? ", cut by the limit" : ""}, ${asked.took_ms.toFixed(0)} ms`),
      ...asked.notes.map((note) => html("p.note", null, note)),
      asked.length ? table(asked, { caption: `Answer of ${question.title}` })
        : html("p.empty", null, "The answer has no rows: nothing in the store fits."));
  } catch (error) {
    if (context.signal.aborted) return;
    place.replaceChildren(explained(error, () => answer(place, question, given, context)));
  }
}

/** Names that a parameter may have, as far as the store tells. */
async function suggested(name, { about }, given, context) {
  const listed = await catalogue();
  const networks = listed.map(({ network }) => network);
  const runs = [...new Set(listed.map(({ run }) => run).filter(Boolean))];
  if (name === "name") return about === "run" ? runs : networks;
  if (name === "other" || name === "networks") return networks;
  if (name === "run") return runs;
  const layers = about === "network" && networks.includes(given.name) && /^(layer|layers|source|target|neuron)$/.test(name);
  return layers ? (await context.ask(path`/v1/networks/${given.name}/layers`)).column("layer") : [];
}
