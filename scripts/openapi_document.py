"""The OpenAPI document of the service, checked by openapi-spec-validator; written to a file, if one is named.

scripts/openapi_linters.sh has what needs Node: redocly, spectral, and generators of TypeScript.
"""

import argparse
import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from noisegate.store.settings import Settings
from service.app import create_app


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="where to write it")
    file: Path | None = parser.parse_args().file
    document = create_app(Settings()).openapi()
    if file:
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    for error in errors:
        print(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")
    return int(bool(errors))


if __name__ == "__main__":
    raise SystemExit(main())
