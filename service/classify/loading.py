"""A model from rows and files to a classifier that has answered once."""

import time
from dataclasses import dataclass

from pydantic import ValidationError

from noisegate.inference.classifier import Classifier
from noisegate.inference.runtimes import RuntimeName, UnusableModel
from noisegate.manifest import ModelManifest
from noisegate.reference import DamagedReference, Reference
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
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

    def load(self, id: str) -> LoadedModel:
        """The model with this id.

        Raises:
            NotFound: there is none.
            ModelUnusable: its files are missing, damaged or do not belong together.
        """
        started = time.perf_counter()
        with self._sessions.reading() as session:
            row = models.get(session, id)
        try:
            loaded = self._load(row.onnx_digest, row.reference_digest, ModelManifest.model_validate(row.manifest))
        except (OSError, UnusableModel, DamagedReference, ValidationError) as error:
            MODEL_LOADS.labels("failed").inc()
            # An OSError would name a path on this machine.
            reason = error.strerror if isinstance(error, OSError) else str(error)
            remedy = "Choose another model, or point the alias at one with PUT /aliases/{name}."
            raise ModelUnusable(f"model {id} cannot be loaded: {reason}", field="model", remedy=remedy) from error
        MODEL_LOADS.labels("loaded").inc()
        MODEL_LOAD_SECONDS.observe(time.perf_counter() - started)
        return loaded

    def _load(self, onnx_digest: str, reference_digest: str | None, manifest: ModelManifest) -> LoadedModel:
        reference = Reference.from_bytes(self._artefacts.read(reference_digest)) if reference_digest else None
        classifier = Classifier(self._artefacts.path(onnx_digest), manifest, reference, self._runtime)
        return LoadedModel(onnx_digest, classifier)
