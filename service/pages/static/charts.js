// Lines with bands of one standard error, by uPlot. Colours differ in lightness too, and lines in their dashes.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const LINES = dark.matches
  ? ["#6cb4ff", "#f2b24c", "#63d8a5", "#e58ad0", "#c9d36a", "#8fd7ff", "#ff9d7a", "#b9a5ff"]
  : ["#0072b2", "#d55e00", "#00784f", "#a0357f", "#6b6b00", "#3a7ca5", "#8a4f00", "#5b46a8"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Draws curves that have values at x, with bands where they have errors. Drawn again with the same curves, only the values change.
 * @param curves [{label, x, y, low, high, thin}]; low and high may be null; thin ones are dotted, and always shown at first.
 */
function drawCurves(target, curves, { xLabel, yLabel, height = 320, shown = 8, marks = false, xMap = null }) {
  const xs = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const placed = (curve, values) => {
    const at = new Map(curve.x.map((x, index) => [x, values[index]]));
    return xs.map((x) => at.get(x) ?? null);
  };
  const before = target.drawn;
  const shownBefore = new Map(before?.plot.series.map((one) => [one.label, one.show]) ?? []);
  const data = [xs];
  const series = [{ label: xLabel, value: (_, value) => (value === null ? "–" : xMap ? xMap[value] ?? "" : value) }];
  const bands = [];
  curves.forEach((curve, index) => {
    const stroke = LINES[index % LINES.length];
    const dash = curve.thin ? [2, 3] : DASHES[Math.floor(index / LINES.length) % DASHES.length];
    const at = series.length;
    const label = curve.label.length > 44 ? `${curve.label.slice(0, 43)}…` : curve.label;
    const show = shownBefore.get(label) ?? (curve.thin || index < shown);
    data.push(placed(curve, curve.y));
    series.push({ label, stroke, dash, width: curve.thin ? 1.5 : 2, show, spanGaps: true,
      points: { show: marks || curve.x.length < 12, size: curve.thin ? 4 : 6 }, value: (_, value) => (value === null ? "–" : value.toPrecision(4)) });
    if (curve.low && curve.low.some((value) => value !== null)) {
      for (const values of [curve.high, curve.low]) {
        data.push(placed(curve, values));
        series.push({ label: "", stroke: "transparent", width: 0, show, points: { show: false }, band: at });
      }
      bands.push({ series: [at + 1, at + 2], fill: stroke + "2e" });
    }
  });
  const key = JSON.stringify(series.map((one) => [one.label, one.band]));
  if (before?.key === key) {
    before.plot.setData(data);
    return before.plot;
  }
  const axis = { stroke: css("--faint"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: "12px system-ui, sans-serif" };
  const options = {
    width: Math.max(260, target.clientWidth), height, series, bands, focus: { alpha: 0.35 }, cursor: { focus: { prox: 24 } },
    scales: { x: { time: false } },
    axes: [{ ...axis, label: xLabel, labelSize: 22, ...(xMap ? { splits: () => xs, values: (_, at) => at.map((x) => xMap[x] ?? "") } : { incrs: [1, 2, 5, 10, 20, 50, 100, 200] }) }, { ...axis, label: yLabel, labelSize: 22, size: 60 }],
    hooks: { setSeries: [(plot, at) => {
      if (at === null) return;
      // A cell's band goes and comes with its line.
      plot.series.forEach((one, index) => { if (one.band === at && one.show !== plot.series[at].show) plot.setSeries(index, { show: plot.series[at].show }, false); });
    }] },
  };
  before?.resizing.disconnect();
  target.replaceChildren();
  const plot = new uPlot(options, data, target);
  target.querySelectorAll(".u-legend .u-series").forEach((row, index) => { if (series[index].band !== undefined) row.hidden = true; });
  const resizing = new ResizeObserver(() => plot.setSize({ width: Math.max(260, target.clientWidth), height }));
  resizing.observe(target);
  target.drawn = { key, plot, resizing };
  return plot;
}
