// What is in the store: the networks and runs, asked once and again when something changed.

import { ask } from "weightome/api.js";

let asked = null;

/**
 * The networks, as the service lists them.
 *
 * @returns {Promise<object[]>} records of the question `networks`
 */
export function catalogue() {
  if (asked === null) {
    asked = everyNetwork(ask);
    asked.catch(() => (asked = null));
  }
  return asked;
}

/** The records of all pages of the list of networks. */
export async function everyNetwork(askOne) {
  const records = [];
  for (let where = "/v1/networks"; where !== null;) {
    const page = await askOne(where);
    records.push(...page.records());
    where = page.next;
  }
  return records;
}

/** Has the next one who wants the catalogue ask again. */
export function forget() {
  asked = null;
  dispatchEvent(new Event("weightome-catalogue"));
}
