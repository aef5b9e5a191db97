"""A model from rows and files to a classifier that has answered once."""

import time
from dataclasses import dataclass

from noisegate.errors import NewerVersion
from noisegate.inference.classifier import Classifier, memory_of
from noisegate.inference.runtimes import RuntimeName, UnusableModel
from noisegate.rejection.reference import DamagedReference, Reference
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.json_columns import readable
from noisegate.store.sessions import Sessions
from service.errors import ModelUnusable
from service.metrics import MODEL_LOAD_SECONDS, MODEL_LOADS


@dataclass(frozen=True)
class LoadedModel:
    """A classifier, and the SHA-256 of the model.onnx it was made from."""

    version: str
    classifier: Classifier


class Loader:
    """Loads models; takes a tenth of a second or more, so it is called in threads."""

    def __init__(self, sessions: Sessions, artefacts: Artefacts, runtime: RuntimeName) -> None:
        self._sessions = sessions
        self._artefacts = artefacts
        self._runtime = runtime

    def load(self, id: str, most_bytes: int) -> LoadedModel:
        """The model with this id.

        Raises:
            NotFound: there is none.
            ModelUnusable: its files are missing, damaged or do not belong together, or it takes more memory than that.
        """
        started = time.perf_counter()
        with self._sessions.reading() as session:
            row = models.get(session, id)
        try:
            reference = self._reference(row.reference_digest)
            file = self._artefacts.fetch(row.onnx_digest)
            _check_size(id, memory_of(file, reference, self._runtime), most_bytes)
            loaded = LoadedModel(row.onnx_digest, Classifier(file, readable(row.manifest), reference, self._runtime))
        except (OSError, UnusableModel, DamagedReference, NewerVersion) as error:
            MODEL_LOADS.labels("failed").inc()
            # An OSError would name a path on this machine.
            reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
            remedy = "Choose another model, or point the alias at one with PUT /aliases/{name}."
            raise ModelUnusable(f"model {id} cannot be loaded: {reason}", field="model", remedy=remedy) from error
        MODEL_LOADS.labels("loaded").inc()
        MODEL_LOAD_SECONDS.observe(time.perf_counter() - started)
        return loaded

    def _reference(self, digest: str | None) -> Reference | None:
        return Reference.from_bytes(self._artefacts.read(digest)) if digest else None


def _check_size(id: str, needed: int, most: int) -> None:
    if needed > most:
        detail = f"model {id} takes {needed:,} bytes; all models of a process may take {most:,}"
        raise ModelUnusable(detail, field="model", remedy="Raise NOISEGATE_MODEL_CACHE_BYTES.")
