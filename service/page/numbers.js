// Numbers as people read them.

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** A count: 1234567 is "1,234,567". */
export const count = (value) => GROUPED.format(value);

/** A count for narrow places: 1234567 is "1.23M". */
export const compact = (value) => COMPACT.format(value);

/** A measure with four significant digits: 0.00012345 is "1.234e-4", 12.3456 "12.35". */
export function short(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return GROUPED.format(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

/** Any value of an answer as text. */
export function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return short(value);
  if (Array.isArray(value)) return value.every(isPlain) ? value.map(shown).join(" × ") : json(value);
  return typeof value === "object" ? json(value) : String(value);
}

const isPlain = (value) => typeof value === "number" || typeof value === "string";
const json = (value) => JSON.stringify(value);
