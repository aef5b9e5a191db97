// The rule of a model, set by its form.
"use strict";

document.getElementById("rule")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const scores = [form.first.value, form.second.value].filter(Boolean).map((score) => ({ score }));
  try {
    await api("PUT", `/models/${form.dataset.model}/decision`, { json: { scores } });
    location.reload();
  } catch (problem) {
    toast(problemNote(problem));
  }
});
