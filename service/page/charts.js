// Charts by ECharts: in the page's colours, released with their rendering, and given as files.

import * as echarts from "echarts";

import { ink, line, muted, paper, series } from "weightome/colours.js";
import { rasterised } from "weightome/download.js";
import { html } from "weightome/element.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const PRINTED = { width: 960, height: 540 };

/**
 * Draws a chart and registers its picture.
 *
 * @param {HTMLElement} place the chart is added to it
 * @param {object} option of ECharts; `color`, text styles and the tooltip have the page's looks
 * @param {object} context of the panel
 * @param {{label?: string, height?: number, described: string, onclick?: Function}} how
 *   `described` says in a sentence what one would see
 * @returns {object} the ECharts instance
 */
export function chart(place, option, context, { label = "", height = 360, described, onclick }) {
  const element = html("div.chart", {
    role: "img", "aria-label": described, style: { height: `${height}px` },
  });
  place.append(element);
  const drawn = echarts.init(element, null, { renderer: "canvas" });
  const full = dressed(option);
  drawn.setOption(full);
  if (onclick) drawn.on("click", onclick);
  const observer = new ResizeObserver(() => drawn.resize());
  observer.observe(element);
  context.signal.addEventListener("abort", () => {
    observer.disconnect();
    drawn.dispose();
  });
  context.picture((kind) => printed(drawn.getOption(), kind), label);
  return drawn;
}

/** The option with the looks of the page where it does not say otherwise. */
function dressed(option) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const axis = (given) => ({
    ...given,
    axisLine: { lineStyle: { color: line() }, ...given.axisLine },
    axisLabel: { color: muted(), hideOverlap: true, ...given.axisLabel },
    nameTextStyle: { color: muted(), ...given.nameTextStyle },
    splitLine: { lineStyle: { color: line(), opacity: 0.6 }, ...given.splitLine },
  });
  const axes = (given) => (Array.isArray(given) ? given.map(axis) : given && axis(given));
  return {
    color: Array.from({ length: 8 }, (_, index) => series(index)),
    animation: !still,
    animationDuration: 250,
    animationDurationUpdate: 200,
    backgroundColor: "transparent",
    textStyle: { fontFamily: FONT, color: ink() },
    grid: { left: 12, right: 20, top: 40, bottom: 12, containLabel: true },
    ...option,
    legend: option.legend && {
      type: "scroll", top: 0, textStyle: { color: ink() }, pageTextStyle: { color: muted() },
      pageIconColor: ink(), pageIconInactiveColor: line(), ...option.legend,
    },
    // Drawn on the canvas, not as HTML: names stay text, and the page's policy has no exception.
    tooltip: option.tooltip && {
      renderMode: "richText", backgroundColor: paper(), borderColor: line(), borderWidth: 1,
      textStyle: { color: ink(), fontSize: 12, fontFamily: FONT }, confine: true,
      ...option.tooltip,
    },
    xAxis: axes(option.xAxis),
    yAxis: axes(option.yAxis),
  };
}

/** The chart as a file, of one size whatever the window's. */
async function printed(option, kind) {
  const drawn = echarts.init(null, null, { renderer: "svg", ssr: true, ...PRINTED });
  try {
    drawn.setOption({ ...option, animation: false, backgroundColor: paper() });
    const blob = new Blob([drawn.renderToSVGString()], { type: "image/svg+xml" });
    if (kind === "svg") return blob;
    return await rasterised(blob, PRINTED.width, PRINTED.height, paper());
  } finally {
    drawn.dispose();
  }
}
