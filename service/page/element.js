// Elements of the page, built as a tree. Whatever comes from the store enters as text or as an
// attribute's value, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 *
 * @param {string} tag such as "button", or "p.quiet" with a class
 * @param {object} [given] attributes; `on…` are listeners, `style` is an object of CSS properties,
 *   true is an attribute without a value, and false, null or undefined leave one out
 * @param {...(Node|string|number|Array)} children texts become text nodes; null, undefined and
 *   false leave one out
 */
export function html(tag, given, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  return filled(element, given, children);
}

/** An SVG element, by the same rules. */
export function svg(tag, given, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return filled(element, given, children);
}

function filled(element, given, children) {
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "style") {
      // Through the object model: the page's policy refuses style attributes written as text.
      for (const [property, of] of Object.entries(value)) element.style.setProperty(property, of);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  const there = (child) => child !== undefined && child !== null && child !== false;
  element.append(...children.flat(Infinity).filter(there));
  return element;
}
