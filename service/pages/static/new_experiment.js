// A spec as a form and as a document that follow each other, and a dry run that follows both.
"use strict";

const text = document.getElementById("document");
const plan = document.getElementById("plan");
const post = document.getElementById("post");
const selects = { dataset: document.getElementById("dataset"), preset: document.getElementById("preset"), scale: document.getElementById("scale") };
const fields = [...document.querySelectorAll("[data-field]")];
let spec = JSON.parse(text.value);
let asked = 0;

const at = (path) => path.split(".").reduce((found, part) => (found && typeof found === "object" ? found[part] : undefined), spec);

/** Sets or, of undefined, removes a value; objects that become empty go, too. */
function put(path, value) {
  const parts = path.split(".");
  const last = parts.pop();
  const parents = [spec];
  for (const part of parts) {
    const parent = parents.at(-1);
    if (value === undefined && typeof parent[part] !== "object") return;
    if (typeof parent[part] !== "object" || parent[part] === null || Array.isArray(parent[part])) parent[part] = {};
    parents.push(parent[part]);
  }
  if (value === undefined) delete parents.at(-1)[last]; else parents.at(-1)[last] = value;
  parts.forEach((_, index) => {
    const depth = parts.length - 1 - index;
    if (Object.keys(parents[depth + 1]).length === 0) delete parents[depth][parts[depth]];
  });
}

function formFromSpec() {
  selects.preset.value = spec.preset ?? "";
  selects.scale.value = spec.scale ?? "quick";
  selects.scale.disabled = !spec.preset;
  const dataset = spec.dataset ?? "";
  if (dataset && ![...selects.dataset.options].some((option) => option.value === dataset)) selects.dataset.append(element("option", { value: dataset }, dataset));
  selects.dataset.value = dataset;
  for (const field of fields) {
    const value = at(field.dataset.field);
    if (field.dataset.kind !== "json") { field.value = value ?? ""; continue; }
    const wanted = value === undefined ? "" : JSON.stringify(value);
    field.value = [...field.options].find((option) => option.value && JSON.stringify(JSON.parse(option.value)) === wanted)?.value ?? "";
  }
}

function textFromSpec() { text.value = JSON.stringify(spec, null, 2); }

function changed() { textFromSpec(); look(); }

for (const [name, select] of Object.entries(selects)) {
  select.addEventListener("change", () => { put(name, select.value || undefined); if (name === "preset" && !spec.preset) put("scale", undefined); else if (name === "preset" && !spec.scale) put("scale", selects.scale.value); formFromSpec(); changed(); });
}
for (const field of fields) {
  field.addEventListener("input", () => {
    const { kind, field: path } = field.dataset;
    const value = field.value === "" ? undefined : kind === "json" ? JSON.parse(field.value) : kind === "number" ? Number(field.value) : field.value;
    put(path, value);
    // A quantity is one of some noise.
    if (path === "noise.quantity" && value !== undefined && !spec.preset && !spec.noise?.family) put("noise.family", "uniform");
    formFromSpec();
    changed();
  });
}
text.addEventListener("input", () => {
  try {
    spec = JSON.parse(text.value);
    formFromSpec();
    look();
  } catch (error) {
    complain([{ field: "", message: error.message }]);
    post.disabled = true;
  }
});

let timer = null;
function look() {
  clearTimeout(timer);
  timer = setTimeout(dryRun, 300);
}

async function dryRun() {
  const number = (asked += 1);
  try {
    const found = await api("POST", "/experiments?dry_run=true", { json: spec });
    if (number !== asked) return;
    complain([]);
    show(found);
    post.disabled = false;
  } catch (problem) {
    if (number !== asked) return;
    post.disabled = true;
    complain(problem.errors?.length ? problem.errors : [{ field: "", message: problem.detail, remedy: problem.remedy }]);
    plan.replaceChildren(problemNote({ title: problem.title, detail: problem.errors?.length ? "see the fields" : problem.detail, remedy: null }));
  }
}

/** Errors at their fields: at the field itself, or at the nearest that its path lies in; else below the document. */
function complain(errors) {
  for (const place of document.querySelectorAll(".field")) { place.classList.remove("wrong"); const told = place.querySelector(".error"); if (told) { told.hidden = true; told.replaceChildren(); } }
  for (const { field, message, remedy } of errors) {
    const parts = field.split(".");
    let place = null;
    for (let length = parts.length; length > 0 && !place; length -= 1) {
      const path = parts.slice(0, length).join(".");
      place = path in selects ? selects[path].closest(".field") : document.querySelector(`.field[data-for="${CSS.escape(path)}"]`);
    }
    place ??= document.querySelector('.field[data-for=""]');
    place.classList.add("wrong");
    const told = place.querySelector(".error");
    told.hidden = false;
    const line = `${field ? `${field}: ` : ""}${message}${remedy ? `. ${remedy}` : ""}`;
    told.append(element("span", {}, line), element("br"));
  }
}

function show(found) {
  const facts = element("dl", { class: "facts" });
  const fact = (name, value) => facts.append(element("dt", {}, name), element("dd", {}, value));
  fact("cells", found.cell_count.toLocaleString("en"));
  fact("executions", `${found.executions.toLocaleString("en")}${found.base ? ", one of them the base" : ""}`);
  fact("images to train on", found.training_images.toLocaleString("en"));
  fact("time", found.estimate.detail);
  if (found.disk) fact("disk", found.disk.detail);
  const notes = found.warnings.map((warning) => element("div", { class: "note warn" }, element("p", {}, `${sentence(warning.detail)} ${warning.remedy}`)));
  if (found.choice) notes.unshift(element("div", { class: "note" }, element("p", {}, element("strong", {}, `${found.choice.title}. `), found.choice.reason)));
  const cells = element("details", {}, element("summary", {}, "Cells"), element("ul", { class: "small" }, ...found.cells.slice(0, 60).map((cell) => element("li", {}, cell.label))));
  if (found.cells.length > 60) cells.append(element("p", { class: "faint small" }, `and ${found.cells.length - 60} more`));
  const open = plan.querySelector("details")?.open;
  if (open) cells.open = true;
  plan.replaceChildren(facts, ...notes, cells);
}

document.getElementById("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  post.disabled = true;
  const minutes = Number(document.getElementById("time-limit").value);
  try {
    const made = await api("POST", `/experiments${minutes ? `?time_limit=${60 * minutes}` : ""}`, { json: spec, headers: { "Idempotency-Key": crypto.randomUUID() } });
    location.href = `${root}/ui/experiments/${made.id}`;
  } catch (problem) {
    complain(problem.errors ?? []);
    toast(problemNote(problem));
    post.disabled = false;
  }
});

formFromSpec();
dryRun();
