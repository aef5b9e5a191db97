"""Settings of Sphinx for the guide. It runs nothing of the pages: notebooks are shown with the outputs that they were kept with."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "Noisegate"
extensions = ["myst_nb"]
html_title = "Noisegate"
html_theme_path = ["."]
html_theme = "theme"
# The look of the service's own pages, and what a guide needs besides.
html_static_path = ["../../service/pages/static/app.css", "../../service/pages/static/icon.svg"]
html_search_scorer = str(Path(__file__).parent / "scorer.js")
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_permalinks_icon = "#"
highlight_language = "none"
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True
# Tables are HTML; outputs that need a script are shown as text.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

# Served under a Content-Security-Policy without unsafe-inline: browsers would refuse these, and pages look right without.
_INLINE = re.compile(
    r"<style\b.*?</style>|<script\b(?![^>]*\bsrc=).*?</script>|(?<=[\"'\w])\s+style=(?:\"[^\"]*\"|'[^']*')(?=[^<>]*>)",
    re.S,
)


# What scrolls sideways has to be in reach of a keyboard: code, and tables without a link to go to.
_SCROLLS = re.compile(r"<pre>|<table (?=[^>]*>(?:(?!<a |</table>).)*</table>)", re.S)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", _finish)


def _finish(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    if "body" in context:
        body = _INLINE.sub("", context["body"])
        context["body"] = _SCROLLS.sub(lambda start: start[0].rstrip(" >") + ' tabindex="0"' + start[0][-1], body)
