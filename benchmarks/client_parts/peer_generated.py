"""A client that openapi-python-client has generated: posts an experiment, polls it, classifies, reads results."""

import time
from http import HTTPStatus
from importlib.metadata import version
from io import BytesIO

from expected import Expected, done
from noisegate_client import Client
from noisegate_client.api.classify import classify
from noisegate_client.api.experiments import create_experiment, get_experiment
from noisegate_client.api.results import get_results
from noisegate_client.models import PresetBody
from noisegate_client.types import File

expected = Expected()
client = Client(base_url=expected.url, timeout=60, raise_on_unexpected_status=True)
posted = create_experiment.sync(client=client, body=PresetBody.from_dict({"preset": "baseline", "scale": "smoke"}))
until = time.monotonic() + 300
while (found := get_experiment.sync(posted.id, client=client)).state.value not in ("succeeded", "failed"):
    assert time.monotonic() < until, found.state
    time.sleep(0.5)
assert found.state.value == "succeeded", found.error
results = get_results.sync(posted.id, client=client)
assert [row.n for row in results.rows] == [row.executions for row in results.rows]
for place, file in enumerate(expected.files()[:10]):
    answer = classify.sync_detailed(client=client, body=File(payload=BytesIO(file)))
    assert answer.status_code == HTTPStatus.OK
    assert answer.parsed.reject_score == expected.decisions[place]["reject_score"]
    assert answer.parsed.label == expected.decisions[place]["label"]
done(version("openapi-python-client"), "posts, polls, classifies, reads results")
