// What all pages need: requests to the API of this service, buttons that change something, times in words, pieces that renew themselves.
"use strict";

const root = document.documentElement.dataset.root;
const csrf = document.querySelector('meta[name="csrf"]')?.content;

/** An answer of the API, parsed; throws its problem, as {title, detail, remedy, errors}. */
async function api(method, path, { json, body, headers = {} } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (csrf && method !== "GET") sent["X-CSRF-Token"] = csrf;
  if (json !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(root + path, { method, headers: sent, body: json === undefined ? body : JSON.stringify(json) });
  } catch {
    throw { title: "The service does not answer", detail: "it may be restarting; try again", errors: [] };
  }
  const kind = response.headers.get("Content-Type") || "";
  const answer = kind.includes("json") ? await response.json() : await response.text();
  if (response.status === 401 && csrf) location.reload();
  if (!response.ok) throw typeof answer === "object" ? answer : { title: response.statusText, detail: "", errors: [] };
  return answer;
}

/** An element with these attributes and children; texts become text and nothing else. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** A bar that is filled to a share of 0 … 1. */
function bar(share, kind = "share") {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("class", "bar-of");
  drawn.setAttribute("aria-hidden", "true");
  const filled = document.createElementNS(SVG, "rect");
  filled.setAttribute("class", kind);
  filled.setAttribute("width", `${Math.max(0, Math.min(1, share)) * 100}%`);
  filled.setAttribute("height", "100%");
  drawn.append(filled);
  return drawn;
}

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

function problemNote(problem) {
  const note = element("div", { class: "note bad" }, element("p", {}, element("strong", {}, `${problem.title}. `), sentence(problem.detail)));
  if (problem.remedy) note.append(element("p", {}, problem.remedy));
  return note;
}

function toast(node, seconds = 12) {
  document.getElementById("toast").append(node);
  setTimeout(() => node.remove(), seconds * 1000);
}

// Buttons: data-method and data-path say what is asked, data-then where to go afterwards ({id} is that of the answer). With
// data-ask a dry run tells first whether it can be done, and what would go along besides what data-along says.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-path]");
  if (!button) return;
  button.disabled = true;
  try {
    const { method, path, json, then, ask, along } = button.dataset;
    if (ask !== undefined) {
      const plan = await api(method, `${path}?dry_run=true`);
      if (!(await confirmed(ask, plan, along))) return;
    }
    const answer = await api(method, path, { json: json === undefined ? undefined : JSON.parse(json) });
    if (then) location.href = root + then.replace("{id}", encodeURIComponent(answer.id ?? ""));
    else location.reload();
  } catch (problem) {
    toast(problemNote(problem));
  } finally {
    button.disabled = false;
  }
});

const COUNTED = { cells: "cells", executions: "executions", files: "files" };

/** Asks in a dialog, with what the page knows and a dry run has counted. */
function confirmed(question, plan, along) {
  const lines = along ? [along] : [];
  lines.push(...Object.entries(COUNTED).filter(([name]) => plan?.[name]).map(([name, word]) => `${plan[name]} ${word}`));
  if (plan?.models?.length) lines.push(`${plan.models.length} models`);
  const dialog = element("dialog", { "aria-labelledby": "question" },
    element("h2", { id: "question" }, question),
    element("p", {}, lines.length ? `With it go ${lines.join(", ")}. This cannot be undone.` : "This cannot be undone."));
  const form = element("form", { method: "dialog", class: "actions" },
    element("button", { value: "yes", class: "danger" }, "Delete"), element("button", { value: "no", autofocus: true }, "Keep"));
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); }));
}

// Text to be copied, in <pre id=…>; the button names it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

// Times: "3 minutes ago", and the moment itself on hovering.
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
function showTimes(within = document) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const then = new Date(time.dateTime);
    const seconds = (then - Date.now()) / 1000;
    if (!time.title) time.title = then.toLocaleString();
    if (Math.abs(seconds) < 7 * 86400) {
      const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
      time.textContent = relative.format(Math.round(seconds / length), unit);
    } else {
      time.textContent = then.toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric" });
    }
  }
}
setInterval(showTimes, 20000);

// Pieces that renew themselves: data-renew is the path, data-every the seconds; nothing is asked while nobody looks.
function renewing(within = document) {
  for (const piece of within.querySelectorAll("[data-renew]")) {
    if (piece.dataset.renewing) continue;
    piece.dataset.renewing = "yes";
    const again = () => {
      if (!piece.isConnected) return;
      if (document.visibilityState === "visible") {
        htmx.ajax("GET", root + piece.dataset.renew, { target: piece, swap: "innerHTML" }).finally(() => setTimeout(again, piece.dataset.every * 1000));
      } else setTimeout(again, 1000);
    };
    setTimeout(again, piece.dataset.every * 1000);
  }
}

document.addEventListener("htmx:configRequest", (event) => { if (csrf) event.detail.headers["X-CSRF-Token"] = csrf; });
// The session has ended: the page, asked for again, leads to the sign-in.
document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
document.addEventListener("htmx:afterSwap", (event) => showTimes(event.detail.target));
document.addEventListener("change", (event) => { if (event.target.matches("[data-submits]")) event.target.form.requestSubmit(); });

showTimes();
renewing();
