"""Pages for people: one module a page, its template beside the others in `templates`. They show what the JSON routes answer."""

from service.pages import (
    admin,
    assets,
    classify,
    compare,
    datasets,
    execution,
    experiments,
    home,
    models,
    new_experiment,
    samples,
    sign_in,
)

# Before experiments: `new` is no id of one.
PAGES = (
    assets,
    sign_in,
    home,
    new_experiment,
    experiments,
    samples,
    execution,
    datasets,
    models,
    classify,
    compare,
    admin,
)
