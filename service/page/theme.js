// The switch between light and dark. Until it is used the page follows the system.

import { theme } from "weightome/colours.js";

const KEPT = "weightome-theme";

/** Makes a button the switch; `changed` is called when the page has another theme. */
export function attachTheme(button, changed) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = remembered();
  if (kept) document.documentElement.dataset.theme = kept;
  const tell = () => {
    const other = theme() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Use the ${other} theme`);
    button.title = `Use the ${other} theme`;
  };
  button.addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    remember(other);
    tell();
    changed();
  });
  system.addEventListener("change", () => {
    tell();
    if (!document.documentElement.dataset.theme) changed();
  });
  tell();
}

function remembered() {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    // A browser may refuse to keep anything for this page.
    return null;
  }
}

function remember(chosen) {
  try {
    localStorage.setItem(KEPT, chosen);
  } catch {
    // The switch still holds until the page is closed.
  }
}
