"""`python -m tests.service.memory_of_models ID…`: loads these models, uses them at batches of 32, prints what they take as JSON."""

import asyncio
import json
import sys

import numpy as np
import psutil
from prometheus_client import REGISTRY

from noisegate.rejection.decision import DecisionOptions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import load_settings
from service.classify.models import Classifiers


async def main(ids: list[str]) -> None:
    settings = load_settings()
    sessions = open_sessions(settings)
    classifiers = Classifiers(settings, sessions, Artefacts(settings.artefact_root))
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    process = psutil.Process()
    resident, counted, gauge = [process.memory_info().rss], [], []
    for id in ids:
        loaded = await classifiers.find(id)
        for _ in range(3):
            # As a queue does it with a full batch.
            answers = await asyncio.to_thread(loaded.classifier.logits, images)
            loaded.classifier.find(answers, [DecisionOptions()] * len(images))
        resident.append(process.memory_info().rss)
        counted.append(loaded.classifier.nbytes)
        gauge.append(REGISTRY.get_sample_value("noisegate_models_bytes"))
    # All of them once more: none has been given up for another, or it is loaded again.
    loads = REGISTRY.get_sample_value("noisegate_model_loads_total", {"result": "loaded"})
    for id in ids:
        await classifiers.find(id)
    again = REGISTRY.get_sample_value("noisegate_model_loads_total", {"result": "loaded"})
    found = {"resident": resident, "counted": counted, "gauge": gauge, "loads": loads, "again": again}
    sys.stdout.write(json.dumps(found) + "\n")
    classifiers.close()
    sessions.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
