// The one door to the service: questions go out, answers and problems come back.

import { wantToken } from "weightome/token.js";

/** What the service, or the way to it, says against a request. */
export class Problem extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.name = "Problem";
    this.code = code;
    this.status = status;
  }
}

/** A table that the service answered with, and what gave it. */
export class Answer {
  constructor(address, content) {
    this.address = address;
    this.columns = content.columns;
    this.truncated = content.truncated ?? false;
    this.took_ms = content.took_ms ?? 0;
    this.cypher = content.cypher ?? "";
    this.parameters = content.parameters ?? {};
    this.notes = content.notes ?? [];
    this.next = content.next ?? null;
    this._rows = content.rows;
    this._values = content.values;
  }

  /** One list per row, values in column order. */
  get rows() {
    this._rows ??= (this._values[0] ?? []).map((_, row) => this._values.map((all) => all[row]));
    return this._rows;
  }

  get length() {
    return this._rows ? this._rows.length : (this._values[0] ?? []).length;
  }

  /** The values of one column, in row order. */
  column(name) {
    const index = this.columns.indexOf(name);
    if (index < 0) {
      throw new Problem("no_column", `The answer of ${this.address} has no column '${name}'.`);
    }
    return this._values ? this._values[index] : this._rows.map((row) => row[index]);
  }

  /** One object per row. */
  records() {
    const entries = (row) => this.columns.map((name, index) => [name, row[index]]);
    return this.rows.map((row) => Object.fromEntries(entries(row)));
  }
}

/**
 * A path with names in it, each percent-encoded: path`/v1/networks/${name}/layers`.
 */
export function path(texts, ...names) {
  return texts.reduce((whole, text, index) => whole + encodeURIComponent(names[index - 1]) + text);
}

/**
 * The address of a question: its path and the parameters that are given. A list repeats its
 * parameter; undefined, null and "" leave one out.
 */
export function address(where, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") query.append(name, String(each));
    }
  }
  return query.size ? `${where}?${query}` : where;
}

/**
 * Asks a question (GET).
 *
 * @param {string} where such as path`/v1/networks/${name}/strength`
 * @param {object} parameters
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 * @throws {Problem}
 */
export async function ask(where, parameters = {}, signal = undefined) {
  const asked = address(where, parameters);
  return new Answer(asked, await content("GET", asked, { signal }));
}

/** Sends JSON (POST) and gives the answer as a table. */
export async function post(where, parameters, body, signal = undefined) {
  const asked = address(where, parameters);
  const headers = { "Content-Type": "application/json" };
  const given = { headers, body: JSON.stringify(body), signal };
  return new Answer(asked, await content("POST", asked, given));
}

/** What an address says, as JSON; null where it says nothing. */
export async function content(method, asked, given = {}) {
  if (embedded) return fromThisFile(method, asked);
  const response = await request(method, asked, given);
  return response.status === 204 ? null : response.json();
}

/** A response, once it is a good one. Asks for the token, and again with it, where one is wanted. */
export async function request(method, asked, { headers = {}, body, signal } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const authorised = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
    const response = await sent(asked, { method, headers: authorised, body, signal });
    if (response.ok) return response;
    if (response.status !== 401) throw await problem(response);
    await newToken(token, signal);
  }
}

/** Whether the page is a file with its answers in it, without a service. */
export const isFile = () => embedded !== null;

/** What such a file shows when it is opened: the part of an address behind the #. */
export const opening = () => document.getElementById("weightome-answers").dataset.opening;

const TOKEN = "weightome-token";
const embedded = readEmbedded();
let asking = null;

async function sent(asked, given) {
  // Relative to the page, which a proxy may have put below a path of its own.
  const url = new URL(asked.replace(/^\//, ""), document.baseURI);
  try {
    return await fetch(url, { ...given, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("unreachable", "The service does not answer: is it still running?");
  }
}

async function problem(response) {
  try {
    const { error } = await response.json();
    return new Problem(error.code, error.message, response.status);
  } catch {
    const said = `The service answered ${response.status} without saying why.`;
    return new Problem("unreadable", said, response.status);
  }
}

async function newToken(refused, signal) {
  // Several questions may be refused at once: one dialog serves all.
  if (sessionStorage.getItem(TOKEN) !== refused) return;
  asking ??= wantToken(refused !== null).finally(() => (asking = null));
  const token = await asking;
  signal?.throwIfAborted();
  if (!token) throw new Problem("unauthorized", "This service wants its token.", 401);
  sessionStorage.setItem(TOKEN, token);
}

function readEmbedded() {
  const element = document.getElementById("weightome-answers");
  if (!element) return null;
  const answers = Object.entries(JSON.parse(element.textContent));
  return new Map(answers.map(([asked, answer]) => [canonical(asked), answer]));
}

function fromThisFile(method, asked) {
  const answer = method === "GET" ? embedded.get(canonical(asked)) : undefined;
  if (answer === undefined) {
    throw new Problem("not_in_this_file", "This is not in this file, which has no service behind.");
  }
  return answer;
}

/** One text for all spellings of an address. */
function canonical(asked) {
  const url = new URL(asked, "http://file.invalid");
  const names = url.pathname.split("/").map(decodeURIComponent);
  const given = [...url.searchParams].sort(([a, x], [b, y]) => (a + x < b + y ? -1 : 1));
  return JSON.stringify([names, given]);
}
