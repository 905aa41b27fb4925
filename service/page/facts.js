// Facts about something: names with their values, one under the other.

import { html } from "weightome/element.js";

/**
 * @param {[string, Node|string|number|null|undefined][]} entries those without a value are left out
 */
export function facts(entries) {
  const given = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html("dl.facts", null, given.map(([name, value]) => [html("dt", null, name), html("dd", null, value)]));
}
