// An experiment as it trains: events of the service move bars at once; what counts executions is asked for again when one ends.
"use strict";

const progress = document.getElementById("progress");
const id = progress.dataset.experiment;

function epoch(data) {
  const bar = document.getElementById("epochs");
  const row = document.querySelector(`[data-running="${data.cell}.${data.execution}"]`);
  if (!row) return again("progress");
  const more = data.epoch - Number(row.dataset.epoch);
  if (more > 0) {
    bar.dataset.done = Number(bar.dataset.done) + more;
    bar.value = bar.dataset.done / bar.dataset.of;
    document.getElementById("epochs-done").textContent = Number(bar.dataset.done).toLocaleString("en");
  }
  row.dataset.epoch = data.epoch;
  row.querySelector("progress").value = data.epoch;
  row.querySelector("[data-epochs]").textContent = `${data.epoch} of ${data.epochs}`;
  if (data.images_per_second) row.querySelector("[data-speed]").textContent = Math.round(data.images_per_second).toLocaleString("en");
}

// Each part is asked for again at most once in so many milliseconds, however many events there are.
const LEAST = { progress: 700, results: 2500 };
const due = {};
const last = {};
const underWay = new Set();
function again(part) {
  if (due[part]) return;
  const wait = Math.max(0, (last[part] ?? 0) + LEAST[part] - Date.now());
  due[part] = setTimeout(() => {
    const renewal = renew(part).finally(() => { due[part] = null; underWay.delete(renewal); });
    underWay.add(renewal);
  }, wait);
}

async function renew(part) {
  const began = Date.now();
  await htmx.ajax("GET", `${root}/ui/experiments/${id}/${part}`, { target: `#${part}`, swap: "innerHTML" });
  last[part] = Date.now();
  // A table that takes long to make is asked for less often.
  LEAST[part] = Math.max(LEAST[part], 10 * (last[part] - began));
  if (part === "results") await losses();
}

function follow() {
  const source = new EventSource(`${root}/experiments/${id}/events?after=${progress.dataset.after}`);
  source.addEventListener("epoch", (event) => epoch(JSON.parse(event.data).data));
  for (const type of ["started", "cancelling"]) source.addEventListener(type, () => again("progress"));
  for (const type of ["execution_finished", "cell_finished"]) source.addEventListener(type, () => { again("progress"); again("results"); });
  source.addEventListener("finished", async () => {
    source.close();
    Object.values(due).forEach(clearTimeout);
    await Promise.allSettled(underWay);
    location.reload();
  });
}

async function losses() {
  const chart = document.getElementById("loss-chart");
  if (!chart) return;
  let items;
  try {
    ({ items } = await api("GET", chart.dataset.source));
  } catch (problem) {
    toast(problemNote(problem));
    return;
  }
  if (!items.some(({ mean }) => mean.length > 1)) return;
  document.getElementById("losses").hidden = false;
  const curves = items.map(({ label, mean, standard_error: error, n }) => ({
    label: `${label} (n = ${Math.max(...n)})`,
    x: mean.map((_, index) => index + 1),
    y: mean,
    low: mean.map((value, index) => (error[index] === null ? null : value - error[index])),
    high: mean.map((value, index) => (error[index] === null ? null : value + error[index])),
  }));
  drawCurves(chart, curves, { xLabel: "epoch", yLabel: "training loss" });
  document.getElementById("loss-words").textContent =
    items.length > 8 ? `${items.length} cells; the first 8 are drawn, a click on a name draws or hides one.` : "";
}

if (progress.dataset.ended === "no") follow();
losses();
