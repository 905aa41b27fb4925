// By what neurons are coloured: any number or word that a question says of each neuron.

import { paper, sequential, series, signColour } from "weightome/colours.js";
import { short } from "weightome/numbers.js";
import { bar, samples } from "weightome/legend.js";

const OWN = {
  total: "Total strength", in: "Strength in", out: "Strength out", bias: "Bias",
  in_degree: "Links in", out_degree: "Links out",
};
const OF_STRENGTH = ["total", "in", "out"];
// Numbers that only tell groups apart.
const GROUPS = ["community", "component", "cluster"];
const NOT_VALUES = ["layer", "layer_index", "neuron", "community_size"];
const MOST_GROUPS = 8;

/** The choices, as a control wants them: of the neurons' own links, and of other questions. */
export async function offered(context) {
  const own = Object.entries(OWN).map(([value, label]) => ({ value, label }));
  let listed;
  try {
    listed = (await context.ask("/v1/queries")).records();
  } catch (error) {
    // A file without a service behind it has what it has.
    if (error.name === "Problem") return own;
    throw error;
  }
  const others = listed.filter(answersPerNeuron).flatMap(({ title, columns }) => (
    columns.filter((column) => !NOT_VALUES.includes(column))
      .map((column) => ({ value: `${title}:${column}`, label: named(title, column) }))));
  return [...own, ...others.filter(({ value }) => !value.startsWith("drawn-") && !value.startsWith("strength:"))];
}

function answersPerNeuron({ about, columns, parameters }) {
  const wants = parameters?.required ?? [];
  return about === "network" && columns.includes("layer") && columns.includes("neuron")
    && !columns.includes("other_neuron") && wants.every((name) => name === "name");
}

const plain = (text) => text.replaceAll(/[-_]/g, " ");
const named = (title, column) => (column === "value" ? plain(title) : `${plain(title)}: ${plain(column)}`);

/** What `drawn-neurons` is asked so that it measures this. */
export function asked(measure) {
  if (OF_STRENGTH.includes(measure)) return { measure: "strength", column: measure };
  if (measure in OWN) return {};
  const [title, column] = split(measure);
  return { measure: title, column };
}

/** A measure's name for people. */
export const title = (measure) => OWN[measure] ?? named(...split(measure));

function split(measure) {
  const colon = measure.indexOf(":");
  return colon < 0 ? [measure, "value"] : [measure.slice(0, colon), measure.slice(colon + 1)];
}

/**
 * How neurons are coloured.
 *
 * @param {object[]} neurons records of `drawn-neurons`
 * @param {string} measure one of those offered
 * @returns {{colour: Function, share: Function, text: Function, part: object}} of a neuron its
 *   colour, the magnitude of its value from 0 to 1 and its value as text; a part for the legend
 */
export function colouring(neurons, measure) {
  const column = measure in OWN && !OF_STRENGTH.includes(measure) ? measure : "value";
  const value = (neuron) => neuron[column];
  const text = (neuron) => (value(neuron) === null ? "none" : shownValue(value(neuron)));
  const there = neurons.map(value).filter((each) => each !== null);
  const isGroup = GROUPS.includes(split(measure)[1]) && !(measure in OWN);
  if (isGroup || there.some((each) => typeof each === "string" && !NOT_FINITE.includes(each))) {
    return { text, ...inGroups(there, value, title(measure)) };
  }
  const numbers = there.filter(Number.isFinite);
  const greatest = Math.max(0, ...numbers.map(Math.abs));
  const signed = numbers.some((each) => each < 0);
  const colour = (neuron) => {
    const number = value(neuron);
    if (!Number.isFinite(number)) return paper();
    return signed ? signColour(number, greatest) : sequential(greatest > 0 ? number / greatest : 0);
  };
  const share = (neuron) => {
    const number = value(neuron);
    return Number.isFinite(number) && greatest > 0 ? Math.abs(number) / greatest : 0;
  };
  return { colour, share, text, part: bar(title(measure), { greatest, signed }) };
}

const NOT_FINITE = ["NaN", "Infinity", "-Infinity"];
const shownValue = (value) => (typeof value === "number" ? short(value) : String(value));

function inGroups(values, value, name) {
  const sizes = new Map();
  for (const each of values) sizes.set(each, (sizes.get(each) ?? 0) + 1);
  const groups = [...sizes.keys()].sort((one, other) => sizes.get(other) - sizes.get(one));
  const number = new Map(groups.map((group, index) => [group, index]));
  const colour = (neuron) => (value(neuron) === null ? paper() : series(number.get(value(neuron))));
  const entries = groups.slice(0, MOST_GROUPS)
    .map((group, index) => ({ text: String(group), colour: series(index), box: true }));
  return { colour, share: () => 0.5, part: samples(name, entries) };
}
