// The colours of data. They tell apart by lightness as well as by hue, so that a colour-blind
// person, or a grey print, loses nothing; those of the page itself stand in page.css.

const PALETTES = {
  light: {
    negative: [[226, 230, 236], [240, 162, 92], [184, 74, 6]],
    positive: [[226, 230, 236], [105, 168, 222], [8, 81, 156]],
    sequential: [[236, 242, 248], [124, 177, 214], [38, 110, 168], [8, 48, 107]],
    // Okabe and Ito's, the pale ones darkened until they carry a thin line on white.
    series: ["#0072b2", "#d55e00", "#00846a", "#b0508a", "#a07400", "#2f8fc4", "#5b4fc0", "#55606e"],
  },
  dark: {
    negative: [[52, 60, 71], [196, 108, 38], [255, 178, 102]],
    positive: [[52, 60, 71], [45, 119, 184], [134, 200, 255]],
    sequential: [[32, 40, 50], [32, 84, 132], [72, 150, 205], [205, 230, 250]],
    series: ["#56b4e9", "#f0883e", "#2fc39b", "#e08fbd", "#e3b341", "#9ecbff", "#a99cf5", "#9aa7b5"],
  },
};

/** The theme that the page shows: "light" or "dark". */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/**
 * Colour of a signed value: orange for negative, blue for positive, the stronger the further.
 *
 * @param {number} value
 * @param {number} greatest the |value| that has the full colour
 * @returns {string} "#rrggbb"
 */
export function signColour(value, greatest) {
  const palette = PALETTES[theme()];
  const share = greatest > 0 ? Math.min(1, Math.abs(value) / greatest) : 0;
  return mixed(value < 0 ? palette.negative : palette.positive, share);
}

/**
 * Colour of a share from 0 (near the paper) to 1 (far from it).
 *
 * @param {number} value
 * @returns {string} "#rrggbb"
 */
export function sequential(value) {
  return mixed(PALETTES[theme()].sequential, Math.min(1, Math.max(0, value)));
}

/** Colour of the series of that number; there are eight, then they come again. */
export function series(index) {
  const all = PALETTES[theme()].series;
  return all[index % all.length];
}

/** Colour of text. */
export const ink = () => ofPage("ink");
/** Colour of text that may stand back. */
export const muted = () => ofPage("muted");
/** Colour of what lies behind a picture. */
export const paper = () => ofPage("paper");
/** Colour of hairlines. */
export const line = () => ofPage("line");
/** Colour of what is chosen. */
export const accent = () => ofPage("accent");

function mixed(stops, share) {
  const place = share * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const channels = stops[below].map((from, channel) => {
    const value = from + (stops[below + 1][channel] - from) * (place - below);
    return Math.round(value).toString(16).padStart(2, "0");
  });
  return `#${channels.join("")}`;
}

function ofPage(name) {
  // A custom property is text until something uses it: only then light-dark() is decided.
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
  probe.remove();
  return mixed([[red, green, blue], [red, green, blue]], 0);
}
