"""Pictures of every page, light and dark, for docs/pages: taken of a service that runs without keys and has something to show.

python scripts/page_pictures.py --url http://127.0.0.1:8000 --folder docs/pages
Needs Debian's Chromium, and playwright, which the extra `test` installs.
"""

import argparse
import io
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDTH, HEIGHT = 1280, 860
MOST_BYTES = 100_000
# Colours of the palette, fewer and fewer until a picture is small enough.
PALETTES = (256, 128, 64, 32, 16)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--folder", type=Path, default=Path("docs/pages"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pages = dict(_pages(arguments.url))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profiles:
        for scheme in ("light", "dark"):
            context = playwright.chromium.launch_persistent_context(
                str(Path(profiles) / scheme),
                executable_path=shutil.which("chromium"),
                args=FLAGS,
                color_scheme=scheme,
                viewport={"width": WIDTH, "height": HEIGHT},
            )
            page = context.new_page()
            for name, path in pages.items():
                page.goto(arguments.url + path, wait_until="networkidle" if "experiments/exp" not in path else "load")
                _prepare(page, name)
                _write(arguments.folder / f"{name}-{scheme}.png", page.screenshot())
            context.close()


def _pages(url: str) -> Iterator[tuple[str, str]]:
    """Names and paths: of what is newest of each kind, and of the experiment with the most executions."""
    experiments = [one for one in _get(url, "/experiments?limit=50")["items"] if one["state"] == "succeeded"]
    large = max(experiments, key=lambda one: one["executions"])
    dataset = next(one for one in _get(url, "/datasets")["items"] if one["source"] == "upload")
    model = _get(url, "/models/default")
    answers = f"/ui/experiments/{model['experiment']}/cells/{model['cell']}/executions/{model['execution']}"
    ids = "&".join(f"experiment={one['id']}" for one in experiments[:4])
    yield "home", "/ui"
    yield "experiments", "/ui/experiments"
    yield "new-experiment", f"/ui/experiments/new?preset=recommended&scale=quick&dataset={dataset['id']}"
    yield "experiment", f"/ui/experiments/{large['id']}"
    yield "cell", f"/ui/experiments/{large['id']}/cells/0"
    yield "confusion", f"{answers}?right=false"
    yield "datasets", "/ui/datasets"
    yield "dataset", f"/ui/datasets/{dataset['id']}"
    yield "models", "/ui/models"
    yield "model", f"/ui/models/{model['id']}"
    yield "classify", "/ui/classify"
    yield "compare", f"/ui/compare?{ids}&group=noise.quantity"
    yield "admin", "/ui/admin"
    yield "sign-in", "/ui/sign-in"


def _prepare(page: Page, name: str) -> None:
    """What a person would have done on a page before there is something to see."""
    page.wait_for_timeout(900)
    if name == "classify":
        for place in range(4):
            page.click(f"[data-sample] >> nth={2 * place + 1}")
        page.click("[data-made=stripes]")
        page.click("[data-made=noise]")
        page.wait_for_selector("#list li:nth-child(6) .state")
    page.wait_for_timeout(400)


def _write(file: Path, picture: bytes) -> None:
    """As a PNG with a palette, so that a repository can hold it."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in PALETTES:
        packed = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= MOST_BYTES:
            break
    file.write_bytes(packed.getvalue())
    print(f"{file} {packed.tell():,} bytes")


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
