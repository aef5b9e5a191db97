"""Every operation of the API is a call of the client, or it is said here why not."""

import inspect
import re

from noisegate.client.resources import datasets, experiments, models, others
from service.app import create_app

# For other programs than this client: monitoring, the Open Inference Protocol's own clients, people's browsers.
OF_OTHERS = re.compile(r"^/$|^/livez|^/metrics|^/v2|^/docs|^/redoc|^/pages|^/openapi")
# What a person looks at, and not a program.
NOT_YET = {"/noise/preview.png", "/hybrids", "/experiments/{experiment_id}/samples"}


def test_every_path_is_called() -> None:
    source = "".join(inspect.getsource(module) for module in (datasets, experiments, models, others))
    for path in create_app().openapi()["paths"]:
        if OF_OTHERS.search(path) or path in NOT_YET or path == "/readyz":
            continue
        words = [part.split(".")[0] for part in path.split("/") if part and not part.startswith("{")]
        assert all(f'"{word}' in source or f"/{word}" in source for word in words), path
