// The search of the header: networks, runs, and the panels of the network that is open.

import { catalogue } from "weightome/catalogue.js";
import { html } from "weightome/element.js";
import { current, written } from "weightome/state.js";

const MOST = 12;

/** Makes a form with an input and an empty list a search. */
export function attachSearch(form, panels) {
  const input = form.querySelector("input");
  const list = form.querySelector("ul");
  let chosen = -1;

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (index) => {
    const options = [...list.querySelectorAll("[role=option]")];
    chosen = options.length ? (index + options.length) % options.length : -1;
    options.forEach((option, place) => {
      option.setAttribute("aria-selected", String(place === chosen));
    });
    if (chosen < 0) return;
    input.setAttribute("aria-activedescendant", options[chosen].id);
    options[chosen].scrollIntoView({ block: "nearest" });
  };
  const open = async () => {
    const text = input.value.trim();
    if (!text) return close();
    const found = await matches(text, panels);
    if (text !== input.value.trim()) return undefined;
    list.replaceChildren(...(found.length
      ? found.map(({ title, kind, href }, index) => html("li", {
          role: "option", id: `found-${index}`, "aria-selected": "false",
          "data-href": href, onpointerdown: (event) => event.preventDefault(),
          onclick: () => follow(href),
        }, html("span", null, title), html("span.quiet", null, kind)))
      : [html("li.quiet", { role: "presentation" }, "Nothing of that name")]));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    return choose(0);
  };
  const follow = (href) => {
    input.value = "";
    close();
    location.hash = href;
  };

  input.addEventListener("input", open);
  input.addEventListener("focus", open);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Escape") {
      input.value = "";
      close();
    } else return;
    event.preventDefault();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const option = list.hidden ? null : list.querySelectorAll("[role=option]")[chosen];
    if (option) follow(option.dataset.href);
  });
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input, textarea, select, dialog");
    if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
}

async function matches(text, panels) {
  const wanted = text.toLowerCase();
  const fits = (name) => name.toLowerCase().includes(wanted);
  const { network } = current();
  const found = panels
    .filter(({ about, title }) => fits(title) && (about === "store" || (about === "network" && network)))
    .map(({ id, about, title }) => ({
      title,
      kind: about === "network" ? `panel of ${network}` : "panel",
      href: written({ panel: id, network: about === "network" ? network : "" }),
    }));
  let listed = [];
  try {
    listed = await catalogue();
  } catch {
    // The panel shows what is wrong; panels can be found without the service.
  }
  for (const run of new Set(listed.map((each) => each.run).filter((run) => run && fits(run)))) {
    found.push({ title: run, kind: "run", href: written({ panel: "dynamics", run }) });
  }
  for (const { network: name } of listed.filter((each) => fits(each.network))) {
    const href = written({ panel: "architecture", network: name });
    found.push({ title: name, kind: "network", href });
    if (found.length >= MOST) break;
  }
  return found.slice(0, MOST);
}
