// The cells that are compared, as lines over their groups.
"use strict";

const target = document.getElementById("chart");
if (target) {
  const { labels, lines } = JSON.parse(document.getElementById("chart-data").textContent);
  if (labels.length > 1) {
    const names = Object.fromEntries(labels.map((label, place) => [place, label.length > 18 ? `${label.slice(0, 17)}…` : label]));
    drawCurves(target, lines, { xLabel: "", yLabel: "", height: 280, shown: 12, marks: true, xMap: names });
  } else target.hidden = true;
}
