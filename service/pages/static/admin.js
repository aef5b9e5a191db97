// Keys are made and names are moved by forms.
"use strict";

document.getElementById("key-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const days = Number(form.querySelector("#days").value);
  const json = {
    owner: form.querySelector("#owner").value,
    scopes: [...form.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value),
    note: form.querySelector("#note").value,
    ...(days ? { days } : {}),
  };
  const made = document.getElementById("made");
  try {
    const { key } = await api("POST", "/ui/admin/keys", { json });
    made.replaceChildren(element("div", { class: "note good" }, element("p", {}, "The key, which is shown this once:"), element("pre", { id: "new-key" }, key), element("button", { type: "button", class: "small", "data-copy": "new-key" }, "Copy")));
    form.reset();
  } catch (problem) {
    made.replaceChildren(problemNote(problem));
  }
});

document.getElementById("alias-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api("PUT", `/aliases/${encodeURIComponent(document.getElementById("alias").value)}`, { json: { model: document.getElementById("target").value } });
    location.reload();
  } catch (problem) {
    toast(problemNote(problem));
  }
});
