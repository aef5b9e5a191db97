// A folder or an archive to a dataset. A folder becomes a tar whose parts are the files themselves, so none is read into memory.
// A look (a dry run) comes first: it says what would be found, and keeps nothing.
"use strict";

const area = document.getElementById("upload");
const form = document.getElementById("details");
const report = document.getElementById("report");
let chosen = null;

const encoder = new TextEncoder();
const NOT_IMAGES = /(^|\/)(\.|__MACOSX|Thumbs\.db$|desktop\.ini$)/;

/** A tar of these files: {path, file} each; long names and all that is not ASCII in pax records. */
function tarOf(entries) {
  const parts = [];
  for (const { path, file } of entries) {
    const plain = path.length < 100 && /^[\x20-\x7e]*$/.test(path);
    if (!plain) {
      const record = paxRecord("path", path);
      parts.push(header("pax", record.length, "x"), record, padding(record.length));
    }
    parts.push(header(plain ? path : "file", file.size, "0"), file, padding(file.size));
  }
  parts.push(new Uint8Array(1024));
  return new Blob(parts, { type: "application/x-tar" });
}

function paxRecord(name, value) {
  const rest = encoder.encode(` ${name}=${value}\n`).length;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return encoder.encode(`${length} ${name}=${value}\n`);
}

const padding = (length) => new Uint8Array((512 - (length % 512)) % 512);

function header(name, size, type) {
  const block = new Uint8Array(512);
  const put = (text, at) => block.set(encoder.encode(text), at);
  put(name, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put(type, 156);
  put("ustar\0", 257);
  put("00", 263);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** All files below a dropped directory. */
async function filesBelow(entry, path = "") {
  if (entry.isFile) return [{ path: path + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    for (const each of some) found.push(...(await filesBelow(each, `${path}${entry.name}/`)));
  }
  return found;
}

const withoutTop = (entries) => {
  const tops = new Set(entries.map(({ path }) => path.split("/")[0]));
  return tops.size === 1 && entries.every(({ path }) => path.includes("/"))
    ? { top: [...tops][0], entries: entries.map(({ path, file }) => ({ path: path.slice(path.indexOf("/") + 1), file })) }
    : { top: "", entries };
};

function chooseFolder(all) {
  const { top, entries } = withoutTop(all.filter(({ path }) => !NOT_IMAGES.test(path)));
  if (!entries.length) return;
  choose({ body: tarOf(entries), type: "application/x-tar", name: top, told: `${entries.length.toLocaleString("en")} files of the folder ${top || "dropped"}` });
}

function chooseArchive(file) {
  const type = { zip: "application/zip", tar: "application/x-tar", gz: "application/gzip", tgz: "application/gzip", xz: "application/x-xz" }[file.name.split(".").pop().toLowerCase()];
  choose({ body: file, type: type ?? "application/octet-stream", name: file.name.replace(/(\.tar)?\.\w+$/, ""), told: file.name });
}

function choose(found) {
  chosen = found;
  document.getElementById("chosen").replaceChildren(element("strong", {}, found.told), ` · ${(found.body.size / 1e6).toFixed(1)} MB`);
  form.name.value = found.name.slice(0, 200);
  form.hidden = false;
  document.getElementById("drop").hidden = true;
  report.replaceChildren();
  document.getElementById("look").focus();
}

function query(dryRun) {
  const asked = new URLSearchParams();
  for (const field of ["name", "bad_images", "validation", "base"]) if (form[field].value) asked.set(field, form[field].value);
  // A version has the size of its base.
  if (!form.base.value) asked.set("image_size", form.image_size.value);
  if (dryRun) asked.set("dry_run", "true");
  return asked;
}

/** Sends the file with its progress; XMLHttpRequest tells it, and fetch does not. */
function send(dryRun) {
  const bar = document.getElementById("sent");
  const words = document.getElementById("sending");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${root}/datasets?${query(dryRun)}`);
    request.setRequestHeader("Content-Type", chosen.type);
    request.setRequestHeader("Accept", "application/json");
    if (csrf) request.setRequestHeader("X-CSRF-Token", csrf);
    bar.hidden = false;
    request.upload.addEventListener("progress", (event) => {
      bar.value = event.loaded / event.total;
      words.textContent = `${(event.loaded / 1e6).toFixed(1)} of ${(event.total / 1e6).toFixed(1)} MB sent`;
    });
    request.upload.addEventListener("load", () => { bar.removeAttribute("value"); words.textContent = dryRun ? "Sent; it is being looked at …" : "Sent."; });
    request.addEventListener("load", () => {
      const answer = JSON.parse(request.responseText);
      if (request.status < 400) resolve(answer); else reject(answer);
    });
    request.addEventListener("error", () => reject({ title: "The upload broke off", detail: "the connection ended", errors: [] }));
    request.addEventListener("loadend", () => { bar.hidden = true; bar.value = 0; words.textContent = ""; });
    request.send(chosen.body);
  });
}

function showReport(found) {
  const table = element("table", {}, element("thead", {}, element("tr", {}, element("th", {}, "Class"), element("th", { class: "number" }, "Training"), element("th", { class: "number" }, "Test"), element("th", {}, "Such as"))));
  const body = element("tbody");
  for (const one of found.classes.slice(0, 50)) {
    body.append(element("tr", {}, element("td", {}, one.name), element("td", { class: "number" }, one.train.toLocaleString("en")), element("td", { class: "number" }, one.test.toLocaleString("en")), element("td", { class: "faint small" }, one.samples.slice(0, 2).join(", "))));
  }
  table.append(body);
  report.replaceChildren(
    element("h2", {}, `${found.classes.length} classes, ${found.train_count.toLocaleString("en")} training and ${found.test_count.toLocaleString("en")} test images`),
    element("p", {}, sentence(found.layout)), ...found.notes.map((note) => element("p", {}, note)), element("div", { class: "scroll" }, table));
  if (found.classes.length > 50) report.append(element("p", { class: "faint" }, `and ${found.classes.length - 50} more`));
  for (const group of found.left_out) report.append(element("p", {}, `${group.count} left out: ${group.why} (${group.names.slice(0, 3).join(", ")})`));
  for (const message of found.duplicates?.messages ?? []) report.append(element("div", { class: "note warn" }, element("p", {}, message)));
}

if (area) {
  const drop = document.getElementById("drop");
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const type of ["dragleave", "drop"]) addEventListener(type, () => drop.classList.remove("over"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.length === 1 && entries[0].isFile) return chooseArchive(event.dataTransfer.files[0]);
    const found = [];
    for (const entry of entries) found.push(...(await filesBelow(entry)));
    return chooseFolder(found);
  });
  document.getElementById("folder").addEventListener("change", (event) => chooseFolder([...event.target.files].map((file) => ({ path: file.webkitRelativePath, file }))));
  document.getElementById("archive").addEventListener("change", (event) => event.target.files.length && chooseArchive(event.target.files[0]));
  document.getElementById("forget").addEventListener("click", () => { form.hidden = true; drop.hidden = false; report.replaceChildren(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = form.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      const look = event.submitter?.value === "look";
      const answer = await send(look);
      if (look) { showReport(answer); document.getElementById("look").classList.remove("primary"); document.getElementById("send").classList.add("primary"); }
      else location.href = `${root}/ui/datasets/${answer.id}`;
    } catch (problem) {
      report.replaceChildren(problemNote(problem));
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  });
}
