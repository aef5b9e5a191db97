"""Build the guide: what docs/ says, the API reference and the notebooks, as pages that need nothing from elsewhere.

    python scripts/build_guide.py [--to FOLDER] [--openapi FILE]

Without `--openapi` the service is asked for its document, which needs what it needs; with it, Sphinx and its extensions are enough.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from guide.api_pages import write_api_pages
from guide.gathering import gather
from sphinx.cmd.build import build_main

ROOT = Path(__file__).parent.parent
THEME = ROOT / "scripts" / "guide"
# Where the service looks for it.
BUILT = ROOT / "service" / "guide" / "built"
# What Sphinx leaves for its next run, and for programs that read its inventory.
_LEFT_OVER = (".doctrees", ".buildinfo", "objects.inv", "_sources")


def main() -> int:
    """Returns Sphinx's exit status: any warning is an error, a link that leads nowhere too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=BUILT, help="folder to build into; what it had is replaced")
    parser.add_argument("--openapi", type=Path, help="the service's OpenAPI document, as a file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "source", Path(folder) / "built"
        gather(ROOT, source)
        write_api_pages(openapi_document(asked.openapi), source / "api")
        arguments = ["-b", "html", "-c", str(THEME), "--fail-on-warning", "--keep-going", "--quiet"]
        status = build_main([*arguments, "-d", f"{folder}/doctrees", str(source), str(built)])
        if status == 0:
            # Only a whole one takes the place of another.
            shutil.rmtree(asked.to, ignore_errors=True)
            shutil.copytree(built, asked.to, ignore=shutil.ignore_patterns(*_LEFT_OVER))
            print(f"The guide is in {asked.to}: open {asked.to / 'index.html'}, or /docs/guide of a service.")
    return status


def openapi_document(file: Path | None) -> dict[str, Any]:
    """The document of this file, or of the service as it is here."""
    if file is not None:
        document: dict[str, Any] = json.loads(file.read_text())
        return document
    sys.path.insert(0, str(ROOT))
    # A document given as a file takes no service.
    from noisegate.store.settings import Settings
    from service.app import create_app

    return create_app(Settings()).openapi()


if __name__ == "__main__":
    sys.exit(main())
