// Images to answers: files go to /classify/batch in parts, and each line that comes back becomes a card. The slider decides again
// with the thresholds of another budget, from the scores that are here already; so does the rule.
"use strict";

const page = document.getElementById("classify");
const list = document.getElementById("list");
const answers = [];
let points = [];
let waiting = 0;
const PART = { images: 50, bytes: 16e6 };

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
const budgetInput = document.getElementById("budget");
const ruleInput = document.getElementById("rule");

function query() {
  const asked = new URLSearchParams({ model: page.dataset.model });
  if (ruleInput.value) asked.set("rule", ruleInput.value);
  const point = chosen();
  if (point) asked.set("max_false_reject", point.max_false_reject);
  return asked;
}

const chosen = () => (budgetInput && points.length ? points[Number(budgetInput.value)] : null);

async function coverage() {
  if (!budgetInput || page.dataset.mayRead !== "yes") return;
  const rule = ruleInput.value ? `?rule=${encodeURIComponent(ruleInput.value)}` : "";
  const before = chosen()?.max_false_reject ?? 0.05;
  try {
    const found = await api("GET", `/models/${encodeURIComponent(page.dataset.model)}/decision/coverage${rule}`);
    points = found.points;
  } catch (problem) {
    points = [];
    toast(problemNote(problem));
  }
  budgetInput.disabled = !points.length;
  budgetInput.max = Math.max(0, points.length - 1);
  const nearest = points.findIndex((point) => point.max_false_reject >= before - 1e-9);
  budgetInput.value = nearest < 0 ? points.length - 1 : nearest;
  decideAgain();
}

function decideAgain() {
  const point = chosen();
  if (point) {
    document.getElementById("budget-words").textContent = percent(point.max_false_reject, point.max_false_reject < 0.1 ? 2 : 0);
    budgetInput.setAttribute("aria-valuetext", percent(point.max_false_reject, 2));
    document.getElementById("coverage").textContent = percent(point.coverage);
    document.getElementById("held-error").textContent = point.error === null ? "not kept with this model" : percent(point.error, 2);
  }
  answers.forEach(show);
  tally();
}

/** Whether an answer is rejected at the budget of the slider, and why; without a threshold as the service said. */
function verdict(answer) {
  const said = answer.classification;
  const point = chosen();
  if (said.label === "noise" && said.noise_probability !== null && said.label !== said.known_label) return "noise";
  if (!point) return said.reason;
  for (const [name, threshold] of Object.entries(point.thresholds)) {
    const value = name === "reject_score" ? said.reject_score : said.scores[name]?.value;
    const knownIsHigher = name !== "reject_score" && said.scores[name]?.higher_means === "known";
    if (value !== undefined && (knownIsHigher ? value < threshold : value > threshold)) return reasonOf(said, name);
  }
  return null;
}

const UNSURE = new Set(["reject_score", "msp", "entropy"]);
function reasonOf(said, name) {
  const told = said.rule?.find((one) => one.score === name);
  if (told) return told.reason;
  return ruleInput.value && ruleInput.value !== "default" ? (UNSURE.has(name) ? "unsure" : "unknown") : "low_confidence";
}

const REASONS = { noise: "noise", low_confidence: "too unsure", unsure: "in doubt between classes", unknown: "unlike anything known" };

function show(answer) {
  const { card, classification: said, problem } = answer;
  if (!card) return;
  const under = element("div", { class: "under" });
  if (problem) {
    under.append(element("span", { class: "state failed" }, "no answer"), element("p", { class: "small" }, sentence(problem.detail)));
  } else {
    const reason = verdict(answer);
    answer.reason = reason;
    const probability = said.label === said.known_label ? said.probabilities[said.label] : said.noise_probability;
    under.append(
      element("strong", {}, said.label), ` ${percent(probability)} `, element("br"),
      element("span", { class: `state ${reason ? "rejected" : "accepted"}` }, reason ? `rejected: ${REASONS[reason] ?? reason}` : "accepted"),
      details(answer, said));
  }
  under.prepend(element("p", { class: "faint small name", title: answer.name }, answer.name));
  card.querySelector(".under")?.remove();
  card.append(under);
}

function details(answer, said) {
  const made = element("details", { open: answer.open }, element("summary", { class: "small" }, "Why"));
  made.addEventListener("toggle", () => { answer.open = made.open; answer.card.classList.toggle("open", made.open); if (made.open && made.childElementCount === 1) fill(); });
  const fill = () => {
    const all = Object.entries(said.probabilities);
    if (said.noise_probability !== null) all.push(["noise", said.noise_probability]);
    const bars = element("table", { class: "small" }, element("caption", {}, "Probabilities"));
    for (const [name, value] of all.sort((a, b) => b[1] - a[1]).slice(0, 6)) {
      bars.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, bar(value)), element("td", { class: "number" }, percent(value))));
    }
    const scores = element("table", { class: "small" }, element("caption", {}, "Scores and their thresholds"));
    const rows = [["reject_score", { value: said.reject_score, threshold: said.threshold, rejects: said.threshold !== null && said.reject_score > said.threshold, higher_means: "unknown" }], ...Object.entries(said.scores)];
    const point = chosen();
    for (const [name, score] of rows) {
      const threshold = point?.thresholds[name] ?? score.threshold;
      const known = score.higher_means === "known";
      const rejects = threshold !== null && (known ? score.value < threshold : score.value > threshold);
      scores.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, score.value.toPrecision(3)),
        element("td", { class: "faint" }, threshold === null ? "no threshold" : `${known ? "rejects below" : "rejects above"} ${threshold.toPrecision(3)}`), element("td", {}, rejects ? "✗" : "")));
    }
    made.append(element("div", { class: "columns" }, bars, scores));
    if (said.conformal) made.append(element("p", { class: "small faint" }, `Of known images, a share of ${said.conformal.none_of_these.toFixed(3)} looks at least as unknown as this.`));
  };
  if (answer.open) fill();
  return made;
}

function tally() {
  const done = answers.filter((answer) => answer.classification);
  const rejected = done.filter((answer) => answer.reason).length;
  const bad = answers.filter((answer) => answer.problem).length;
  document.getElementById("tally").textContent = answers.length
    ? `${done.length - rejected} accepted, ${rejected} rejected${bad ? `, ${bad} without an answer` : ""}${waiting ? `, ${waiting} to come` : ""}` : "";
  document.getElementById("answers").hidden = !answers.length;
}

/** Files to cards, in parts that the service takes at once. */
async function classify(files) {
  const all = [...files];
  if (!all.length) return;
  document.getElementById("answers").hidden = false;
  waiting += all.length;
  while (all.length) {
    const part = [];
    let bytes = 0;
    while (all.length && part.length < PART.images && (part.length === 0 || bytes + all[0].size < PART.bytes)) {
      bytes += all[0].size;
      part.push(all.shift());
    }
    await classifyPart(part);
  }
}

async function classifyPart(files) {
  const shown = files.map((file) => {
    const image = element("img", { alt: "", loading: "lazy", src: URL.createObjectURL(file) });
    image.addEventListener("load", () => { if (image.naturalWidth < 80) image.classList.add("pixels"); });
    const answer = { name: file.name, card: element("li", {}, image, element("div", { class: "under faint" }, "…")) };
    list.prepend(answer.card);
    answers.push(answer);
    return answer;
  });
  const form = new FormData();
  for (const file of files) form.append("images", file, file.name);
  const headers = csrf ? { "X-CSRF-Token": csrf, Accept: "application/x-ndjson" } : { Accept: "application/x-ndjson" };
  try {
    const response = await fetch(`${root}/classify/batch?${query()}`, { method: "POST", body: form, headers });
    if (!response.ok) throw await response.json();
    for await (const line of lines(response.body)) settle(shown[line.index], line);
  } catch (problem) {
    const told = problem.detail ? problem : { title: "No answer", detail: "the connection ended", errors: [] };
    toast(problemNote(told));
    for (const answer of shown) if (!answer.classification && !answer.problem) settle(answer, { problem: told });
  }
}

function settle(answer, { classification = null, problem = null }) {
  Object.assign(answer, { classification, problem });
  waiting -= 1;
  show(answer);
  tally();
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}

// Pictures that belong to no class, made here.
const MADE = {
  noise: (x, y, random) => [random(), random(), random()],
  stripes: (x, y) => (Math.floor((x + y) / 5) % 2 ? [240, 200, 40] : [30, 40, 120]),
  gradient: (x, y) => [x * 4, y * 4, 255 - x * 4],
};
function made(kind) {
  const canvas = element("canvas", { width: 64, height: 64 });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(64, 64);
  const random = () => Math.floor(Math.random() * 256);
  for (let at = 0; at < 64 * 64; at += 1) picture.data.set([...MADE[kind](at % 64, Math.floor(at / 64), random), 255], at * 4);
  context.putImageData(picture, 0, 0);
  canvas.toBlob((blob) => classify([new File([blob], `${kind}.png`, { type: "image/png" })]), "image/png");
}

function csv() {
  // A name that a spreadsheet would take for a formula stays a text.
  const cell = (value) => { const text = String(value ?? ""); return `"${(/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text).replaceAll('"', '""')}"`; };
  const names = Object.keys(answers.find((answer) => answer.classification)?.classification.scores ?? {});
  const head = ["file", "label", "probability", "rejected", "reason", "max_false_reject", "reject_score", ...names, "problem"];
  const rows = answers.map(({ name, classification: said, reason, problem }) => (said
    ? [name, said.label, said.label === said.known_label ? said.probabilities[said.label] : said.noise_probability, Boolean(reason), reason, chosen()?.max_false_reject ?? said.max_false_reject, said.reject_score, ...names.map((score) => said.scores[score]?.value), ""]
    : [name, ...Array(6 + names.length).fill(""), problem?.detail]));
  const text = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "answers.csv" });
  link.click();
}

if (page) {
  const drop = document.getElementById("drop");
  for (const type of ["dragenter", "dragover"]) addEventListener(type, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const type of ["dragleave", "drop"]) addEventListener(type, () => drop.classList.remove("over"));
  addEventListener("drop", (event) => { event.preventDefault(); classify(event.dataTransfer.files); });
  addEventListener("paste", (event) => classify([...event.clipboardData.files]));
  document.getElementById("files").addEventListener("change", (event) => { classify(event.target.files); event.target.value = ""; });
  document.addEventListener("click", async (event) => {
    const kind = event.target.closest("[data-made]")?.dataset.made;
    if (kind) made(kind);
    const sample = event.target.closest("[data-sample]");
    if (sample) {
      const response = await fetch(root + sample.dataset.sample);
      classify([new File([await response.blob()], sample.dataset.name, { type: "image/jpeg" })]);
    }
  });
  budgetInput?.addEventListener("input", decideAgain);
  ruleInput.addEventListener("change", async () => { await coverage(); });
  document.getElementById("csv").addEventListener("click", csv);
  document.getElementById("clear").addEventListener("click", () => { answers.length = 0; list.replaceChildren(); tally(); });
  coverage();
}
