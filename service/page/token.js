// The dialog that asks for the service's token.

import { html } from "weightome/element.js";

/**
 * Asks for the token.
 *
 * @param {boolean} again whether one was refused
 * @returns {Promise<string|null>} null when the person declines
 */
export function wantToken(again) {
  const field = html("input", {
    type: "password", name: "token", autocomplete: "off", required: true, "aria-label": "Token",
  });
  const form = html("form", { method: "dialog" },
    html("h2", { id: "token-title" }, "This service wants its token"),
    html("p", null,
      again ? "The token was not the right one. " : "",
      "Whoever runs the service has it. It is kept until this tab is closed.",
    ),
    field,
    html("div.buttons", null,
      html("button", { type: "button", onclick: () => dialog.close("") }, "Not now"),
      html("button.primary", { type: "submit" }, "Use the token"),
    ),
  );
  const dialog = html("dialog", { class: "ask", "aria-labelledby": "token-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close(field.value.trim());
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
  });
}
