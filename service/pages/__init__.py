"""Pages for people: one module a page, its template beside the others in `templates`. They show what the JSON routes answer."""

from service.pages import assets, classify, datasets, experiments, home, models, new_experiment

# Before experiments: `new` is no id of one.
PAGES = (assets, home, new_experiment, experiments, datasets, models, classify)
