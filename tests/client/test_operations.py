"""Every operation of the API is a call of the client, or it is said here why not."""

import inspect
import re

from noisegate.client.resources import datasets, experiments, models, others
from service.app import create_app

# For other programs than this client: monitoring, the Open Inference Protocol's own clients, people's browsers.
OF_OTHERS = re.compile(r"^/$|^/livez|^/metrics|^/v2|^/docs|^/redoc|^/pages|^/openapi")
# Pictures for people, beside what a program gets of the same.
FOR_PEOPLE = {"/noise/preview.png", "/hybrids", "/datasets/{reference}/images/{split}/{index}/thumbnail.jpg"}


def test_every_path_is_called() -> None:
    source = "".join(inspect.getsource(module) for module in (datasets, experiments, models, others))
    for path in create_app().openapi()["paths"]:
        if OF_OTHERS.search(path) or path in FOR_PEOPLE or path == "/readyz":
            continue
        words = [part.split(".")[0] for part in path.split("/") if part and not part.startswith("{")]
        assert all(f'"{word}' in source or f"/{word}" in source for word in words), (
            f"{path}: add it to noisegate/client/resources"
        )
