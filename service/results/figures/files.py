"""A figure as a file. The same figure gives the same bytes."""

import html
import io
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]
PIXELS_PER_INCH = 150

# What XML cannot hold, of what a name may.
_NO_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}
# An id that matplotlib makes ends in ten digits of a hash; it stands in quotes where it is defined, behind # where used.
_HASHED_ID = re.compile(r'(?<=["#])\w*[0-9a-f]{10}(?=["\)])')


def write(figure: "Figure", format: Format, *, title: str, description: str) -> bytes:
    """The figure as an SVG document or a PNG image; `title` and `description` are for readers who cannot see it."""
    return _svg(figure, title, description) if format == "svg" else _png(figure, title, description)


def _png(figure: "Figure", title: str, description: str) -> bytes:
    file = io.BytesIO()
    metadata = {"Title": title, "Description": description}
    figure.savefig(file, format="png", dpi=PIXELS_PER_INCH, metadata=metadata)
    return file.getvalue()


def _svg(figure: "Figure", title: str, description: str) -> bytes:
    # Letters are drawn as outlines (matplotlib's default), as a reader's fonts would be of other widths; what they say
    # stands in title and desc, where search engines and screen readers look.
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Title": title, "Date": None})
    text = _with_stable_ids(file.getvalue())
    words = html.escape(description).translate(_NO_XML)
    text = text.replace("<svg ", '<svg role="img" ', 1).replace("</title>", f"</title>\n <desc>{words}</desc>", 1)
    return text.encode()


def _with_stable_ids(svg: str) -> str:
    """Number the ids. Matplotlib makes them random unless a setting of the whole process, `svg.hashsalt`, says otherwise."""
    numbers: dict[str, str] = {}
    return _HASHED_ID.sub(lambda found: numbers.setdefault(found[0], f"id{len(numbers)}"), svg)
