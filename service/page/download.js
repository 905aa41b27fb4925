// What the page hands over: files, and text for the clipboard.

/** Saves a blob as a file of that name. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name for a file: the parts that are given, without what a file system minds. */
export function fileName(parts, ending) {
  const plain = parts.filter(Boolean).join(" ").replace(/[^\p{L}\p{N}._-]+/gu, "-");
  return `${plain.replace(/^[-.]+|-+$/g, "").slice(0, 120) || "weightome"}.${ending}`;
}

// A spreadsheet takes a cell that begins so for a formula, which may send the sheet elsewhere.
const FORMULA = /^[=+\-@\t\r]/;

/** An answer as CSV, as the service itself writes it: lists and objects as JSON, nothing for null. */
export function csv(answer) {
  const lines = [answer.columns, ...answer.rows].map((row) => row.map(cell).join(","));
  return new Blob([`${lines.join("\n")}\n`], { type: "text/csv;charset=utf-8" });
}

function cell(value) {
  if (value === null || value === undefined) return "";
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (typeof value === "string" && FORMULA.test(value)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A picture of an SVG element as it looks now, as a blob of "svg" or "png". */
export async function pictureOf(element, kind, background) {
  const copy = styledCopy(element);
  const { width, height } = sizeOf(element);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.style.background = background;
  const text = new XMLSerializer().serializeToString(copy);
  const blob = new Blob([text], { type: "image/svg+xml" });
  return kind === "svg" ? blob : rasterised(blob, width, height, background);
}

/** An SVG blob as PNG, at twice its size so that print is sharp. */
export async function rasterised(blob, width, height, background) {
  const url = URL.createObjectURL(blob);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const scale = Math.min(2, 8192 / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const brush = canvas.getContext("2d");
    brush.fillStyle = background;
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}

const PRESENTATION = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity",
  "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline",
];

function styledCopy(element) {
  // A file does not have the page's style sheet: each element takes along what it looks like.
  const copy = element.cloneNode(true);
  const originals = [element, ...element.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, index) => {
    const looks = getComputedStyle(original);
    for (const property of PRESENTATION) {
      copies[index].style.setProperty(property, looks.getPropertyValue(property));
    }
  });
  return copy;
}

function sizeOf(element) {
  const box = element.viewBox?.baseVal;
  if (box?.width) return { width: box.width, height: box.height };
  return { width: element.clientWidth, height: element.clientHeight };
}
