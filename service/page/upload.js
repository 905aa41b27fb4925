// Puts a model file into the store: choose or drop it, say what it is called, see how far it is.

import { address, content, path, request } from "weightome/api.js";
import { html } from "weightome/element.js";
import { count } from "weightome/numbers.js";

const FORMATS = ".onnx,.safetensors,.pt2,.h5,.keras,.pt,.pth";
const ENDED = new Set(["done", "failed", "cancelled"]);

/**
 * The form for a model file, with the files that are on their way below it.
 *
 * @param {() => void} stored called when a network is in the store
 * @returns {HTMLElement}
 */
export function uploading(stored) {
  const jobs = html("ul.jobs", { "aria-label": "Files on their way" });
  const file = html("input", { type: "file", name: "file", required: true, accept: FORMATS, id: "upload-file" });
  const name = text("name", "Name", { required: true, placeholder: "of the network" });
  const run = text("run", "Run", { placeholder: "none" });
  const step = html("input", { type: "number", name: "step", min: 0, step: 1, placeholder: "0" });
  const view = html("select", { name: "view" },
    html("option", { value: "shared" }, "shared: a channel is one neuron"),
    html("option", { value: "unrolled" }, "unrolled: one neuron per position"));
  const replace = html("input", { type: "checkbox", name: "replace" });
  const chosen = html("span.quiet", null, "or drop it here");

  const form = html("form.upload", { "aria-label": "Add a network" },
    html("label.drop", { for: "upload-file" },
      html("strong", null, "Choose a model file"), chosen,
      html("span.quiet", null, "ONNX, Keras, safetensors, PyTorch state dicts and exported programs"),
      file),
    html("div.fields", null,
      labelled("Name", name), labelled("Run", run), labelled("Step", step), labelled("View", view),
      html("label.control.toggle", null, html("span.label", null, "Replace one of that name"), replace),
      html("button.primary", { type: "submit" }, "Add the network"),
    ),
  );

  const take = (given) => {
    if (!given) return;
    chosen.textContent = `${given.name}, ${count(given.size)} bytes`;
    if (!name.value) name.value = given.name.replace(/\.[^.]+$/, "");
  };
  file.addEventListener("change", () => take(file.files[0]));
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      form.classList.add("over");
    });
  }
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) form.classList.remove("over");
  });
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    if (event.dataTransfer.files.length === 0) return;
    file.files = event.dataTransfer.files;
    take(file.files[0]);
    name.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const order = {
      name: name.value.trim(), file: file.files[0].name, view: view.value,
      run: run.value.trim(), step: run.value.trim() ? step.value || "0" : "",
      replace: replace.checked ? "true" : "",
    };
    const entry = new Entry(order.name, stored);
    jobs.prepend(entry.element);
    entry.send(order, file.files[0]);
    form.reset();
    chosen.textContent = "or drop it here";
  });
  listWaiting(form, jobs, stored);
  return html("details.adding", null,
    html("summary", null, html("h2", null, "Add a network"), html("span.quiet", null, "from a model file")),
    form, jobs);
}

function text(name, label, given) {
  return html("input", { type: "text", name, spellcheck: "false", autocomplete: "off", ...given });
}

function labelled(title, field) {
  return html("label.control", null, html("span.label", null, title), field);
}

/** One file on its way. */
class Entry {
  constructor(name, stored) {
    this._name = name;
    this._stored = stored;
    this._sending = new AbortController();
    this._id = "";
    this._said = html("span.quiet", { role: "status" }, "sending …");
    this._bar = html("progress", { "aria-label": `Progress of ${name}` });
    this._cancel = html("button", { type: "button", onclick: () => this._end() }, "Cancel");
    this.element = html("li", null, html("strong", null, name), this._bar, this._said, this._cancel);
  }

  async send(order, file) {
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const { signal } = this._sending;
      const response = await request("POST", address("/v1/networks", order), { headers, body: file, signal });
      await this.follow(await response.json());
    } catch (error) {
      this._fail(error.name === "AbortError" ? "cancelled" : error.message);
    }
  }

  async follow(job) {
    this._id = job.id;
    let last = job;
    this._show(job);
    for await (const next of events(job.id)) {
      last = next;
      this._show(next);
    }
    // The stream may end before the job does: a proxy, or a service that was started anew.
    while (!ENDED.has(last.state)) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      last = await content("GET", path`/v1/jobs/${job.id}`);
      this._show(last);
    }
    if (last.state === "done") this._stored();
  }

  _show(job) {
    const { done, total, phase } = job.progress;
    if (total) {
      this._bar.max = total;
      this._bar.value = done;
    }
    if (!ENDED.has(job.state)) {
      this._said.textContent = total ? `${phase}, ${count(done)} of ${count(total)} links` : phase;
      return;
    }
    if (job.state === "failed") this._fail(job.error.message);
    else if (job.state === "cancelled") this._fail("cancelled");
    else {
      this._bar.remove();
      this._cancel.remove();
      this._said.textContent = "in the store";
    }
  }

  _fail(why) {
    this._bar.remove();
    this._cancel.remove();
    this.element.classList.add("failed");
    this._said.textContent = why;
  }

  async _end() {
    if (!this._id) {
      this._sending.abort();
      return;
    }
    try {
      await content("DELETE", path`/v1/jobs/${this._id}`);
    } catch (error) {
      this._said.textContent = error.message;
    }
  }
}

/** What the service says of a job until it ended (server-sent events). */
async function* events(id) {
  const response = await request("GET", path`/v1/jobs/${id}/events`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield JSON.parse(line.slice(5));
    }
  }
}

async function listWaiting(form, list, stored) {
  try {
    const { jobs } = await content("GET", "/v1/jobs");
    for (const job of jobs.filter(({ state }) => !ENDED.has(state))) {
      const entry = new Entry(job.name, stored);
      list.append(entry.element);
      entry.follow(job).catch((error) => entry._fail(error.message));
    }
  } catch (error) {
    // A service that takes no files says so; whatever else is wrong shows when one is sent.
    if (error.code === "uploads_disabled") form.replaceWith(html("p.note", null, error.message));
  }
}
