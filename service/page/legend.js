// What colours and lines mean, as marks of a picture (see scene.js): in the files too.

import { ink, line, muted, sequential, signColour } from "weightome/colours.js";
import { short } from "weightome/numbers.js";
import { fitted, widthOf } from "weightome/scene.js";

const SIZE = 11;
const STEPS = 32;
const BAR = 116;
const ROW = 38;

/**
 * A bar of colours with what its ends mean.
 *
 * @param {string} title
 * @param {{greatest: number, signed: boolean}} scale
 */
export function bar(title, { greatest, signed }) {
  const ends = signed ? [short(-greatest), "0", short(greatest)] : ["0", "", short(greatest)];
  return {
    width: Math.max(BAR, widthOf(title, SIZE)),
    marks: (x, y) => [
      ...words([[title, x, y, "start", true]]),
      ...Array.from({ length: STEPS }, (_, step) => {
        const share = (step + 0.5) / STEPS;
        const fill = signed ? signColour(2 * share - 1, 1) : sequential(share);
        return { box: [x + (step * BAR) / STEPS, y + 5, BAR / STEPS + 0.4, 8], fill };
      }),
      { box: [x, y + 5, BAR, 8], edge: line() },
      ...words([
        [ends[0], x, y + 24, "start"], [ends[1], x + BAR / 2, y + 24, "middle"], [ends[2], x + BAR, y + 24, "end"],
      ]),
    ],
  };
}

/**
 * Samples of lines or boxes, each with its meaning.
 *
 * @param {string} title
 * @param {{text: string, colour: string, dash?: number[], box?: boolean}[]} entries
 */
export function samples(title, entries) {
  const lengths = entries.map(({ text }) => 24 + widthOf(text, SIZE) + 12);
  return {
    width: Math.max(widthOf(title, SIZE, true), lengths.reduce((sum, length) => sum + length, 0)),
    marks: (x, y) => {
      const marks = words([[title, x, y, "start", true]]);
      let left = x;
      entries.forEach(({ text, colour, dash, box }, number) => {
        const middle = y + 16;
        marks.push(box
          ? { box: [left + 4, middle - 5, 10, 10], fill: colour }
          : { curve: [left, middle, left + 6, middle, left + 12, middle, left + 18, middle], colour, width: 2.4, dash });
        marks.push(...words([[text, left + 24, middle + 4, "start"]]));
        left += lengths[number];
      });
      return marks;
    },
  };
}

/** Height that parts take side by side, in rows where they do not fit. */
export const heightOf = (parts, width) => rows(parts, width).length * ROW + 8;

/** Their marks at the bottom of a picture. */
export function legend(parts, width, height) {
  const all = rows(parts, width);
  return all.flatMap((row, number) => row.flatMap(({ part, x }) => (
    part.marks(x, height - (all.length - number) * ROW + 4))));
}

function rows(parts, width) {
  const found = [[]];
  let x = 12;
  for (const part of parts) {
    if (x > 12 && x + part.width > width - 12) {
      found.push([]);
      x = 12;
    }
    found.at(-1).push({ part, x });
    x += part.width + 30;
  }
  return found;
}

function words(all) {
  return all.filter(([text]) => text).map(([text, x, y, align, strong]) => (
    { words: fitted(text, SIZE, 300), at: [x, y], size: SIZE, align, colour: strong ? ink() : muted() }));
}
