// A problem as the page shows it: what happened, and what one can do.

import { html } from "weightome/element.js";

const WHAT_TO_DO = {
  not_found: "It may have been deleted or renamed. Choose another in the list of networks.",
  unauthorized: "Try again, and the page asks for the token.",
  unreachable: "Start it with `weightome serve`, then try again.",
  timeout: "Ask for less: one layer, fewer links, or a smaller network.",
  time_limit: "Ask for less: one layer, fewer links, or a smaller network.",
  busy: "Others are asking too: try again in a moment.",
  not_in_this_file: "Open the network in a running service (`weightome serve`) to see this.",
};

/** An element that explains an error, with a button to try again. */
export function explained(error, again) {
  const known = error.name === "Problem";
  const said = known ? error.message : `The page failed: ${error.message}`;
  const todo = known ? WHAT_TO_DO[error.code] : "Please report this.";
  return html("div.problem", { role: "alert" },
    html("p", null, html("strong", null, said)),
    todo ? html("p", null, todo) : null,
    html("div.buttons", null,
      html("button", { type: "button", onclick: again }, "Try again"),
      html("a", { href: "#/" }, "All networks"),
    ),
  );
}
