// Guides before reference, and decisions last. The other values are Sphinx's own.
var Scorer = {
  score: ([page, , , , score]) => score - (page.startsWith("decisions/") ? 4 : page.startsWith("api/") ? 2 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
