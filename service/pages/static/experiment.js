// An experiment as it trains: events of the service move bars at once; what counts executions is asked for again when one ends.
"use strict";

const progress = document.getElementById("progress");
const id = progress.dataset.experiment;

// Losses of the executions that train now, by cell and number, one an epoch: those of the page, then of each event.
const training = new Map();

function epoch(data) {
  if (data.state) return again("progress");  // its worker has died, or was stopped: it waits anew
  const bar = document.getElementById("epochs");
  const row = document.querySelector(`[data-running="${data.cell}.${data.execution}"]`);
  if (!row) {
    // One that has just begun, unless more run than are listed.
    if (document.querySelector("[data-listed=all]") || !document.querySelector("[data-running]")) again("progress");
    return;
  }
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
  if (data.losses?.length) {
    if (!training.has(row.dataset.running)) readTraining();
    const known = training.get(row.dataset.running);
    for (const [name, found] of [["losses", data.losses], ["holdout", data.holdout_losses ?? []]]) {
      found.forEach((loss, place) => { known[name][data.epoch - found.length + place] = loss; });
    }
    row.querySelector("[data-loss]").textContent = data.losses.at(-1).toPrecision(3);
    draw();
  }
}

/** What the page says of those that train now; what events have told since then stays. */
function readTraining() {
  const rows = [...document.querySelectorAll("[data-running]")];
  const listed = new Set(rows.map((row) => row.dataset.running));
  for (const key of [...training.keys()]) if (!listed.has(key)) training.delete(key);
  for (const row of rows) {
    const label = `${row.querySelector("a").textContent}, execution ${row.dataset.running.split(".")[1]}`;
    const said = { label, losses: JSON.parse(row.dataset.losses), holdout: JSON.parse(row.dataset.holdout) };
    const known = training.get(row.dataset.running);
    if (!known || said.losses.length >= known.losses.length) training.set(row.dataset.running, said);
  }
}

// Each part is asked for again at most once in so many milliseconds, however many events there are.
const LEAST = { progress: 700, results: 2500 };
const due = {};
const last = {};
const underWay = new Set();
const unseen = new Set();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const part of unseen) again(part);
  unseen.clear();
});
function again(part) {
  if (document.hidden) return unseen.add(part);  // nobody looks
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
  if (part === "progress") {
    readTraining();
    draw();
  }
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

const chart = document.getElementById("loss-chart");
let ended = [];

async function losses() {
  if (!chart) return;
  try {
    ended = (await api("GET", chart.dataset.source)).items;
  } catch (problem) {
    toast(problemNote(problem));
  }
  draw();
}

const count = (values) => values.map((_, index) => index + 1);

function draw() {
  if (!chart) return;
  const curves = ended.map(({ label, mean, standard_error: error, n }) => ({
    label: `${label} (n = ${Math.max(...n)})`,
    x: count(mean),
    y: mean,
    low: mean.map((value, index) => (error[index] === null ? null : value - error[index])),
    high: mean.map((value, index) => (error[index] === null ? null : value + error[index])),
  }));
  for (const { label, losses, holdout } of [...training.values()].slice(0, 8)) {
    if (losses.length) curves.push({ label, x: count(losses), y: losses, thin: true });
    if (holdout.length) curves.push({ label: `${label}, holdout`, x: count(holdout), y: holdout, thin: true });
  }
  if (!curves.some(({ x, thin }) => thin || x.length > 1)) return;
  document.getElementById("losses").hidden = false;
  drawCurves(chart, curves, { xLabel: "epoch", yLabel: "training loss" });
  document.getElementById("loss-words").textContent =
    ended.length > 8 ? `${ended.length} cells; the first 8 are drawn, a click on a name draws or hides one.` : "";
}

if (progress.dataset.ended === "no") {
  readTraining();
  draw();
  follow();
}
losses();
