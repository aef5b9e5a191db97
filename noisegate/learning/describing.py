"""What a model's files say of themselves: with model.onnx alone one can name its classes, feed it and decide as the service does.

Of one model the same bytes come out each time, so nothing of it is by chance: it carries no id. The SHA-256 of model.onnx is
the `version` that every decision names.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from onnx import ModelProto, StringStringEntryProto

from noisegate.decision_rule import REJECT_SCORE
from noisegate.learning.export import ModelFiles
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest
from noisegate.rejection.fitted_rule import as_told, direction_of, fit_rule, reasons_of
from noisegate.rejection.reference import Reference
from noisegate.spec.networks import BackboneNetwork

_PREFIX = "noisegate."
_LENGTH_BYTES = 8
_DECIDED = "Rejected if noise is the most probable output, or if a score lies beyond its threshold on the unknown side."
_REJECT_SCORE = "reject_score = 1 - the largest probability of a known class; probabilities = softmax of all logits."


def described(files: ModelFiles, reference: Reference | None) -> ModelFiles:
    """The same files, with what their manifest says in the metadata of model.onnx and model.safetensors."""
    facts = facts_of(files.manifest, reference)
    return replace(files, onnx=_noted_in_onnx(files.onnx, facts), weights=_noted_in_weights(files.weights, facts))


def facts_of(manifest: ModelManifest, reference: Reference | None) -> dict[str, Any]:
    """What a stranger has to know to use a model, by name; every value is JSON."""
    return {
        "format": manifest.format,
        "classes": manifest.classes,
        "noise_index": len(manifest.classes) if manifest.has_noise_class else None,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["batch", manifest.image_size, manifest.image_size, 3],
            "channels": "RGB, 0 to 255, not scaled: what is subtracted and divided by is part of the graph",
            "size": manifest.image_size,
            **asdict(manifest.fitting),
            "resized_by": "Pillow, antialiased",
            "transparency": "over white",
            "sixteen_bit_gray": "divided by 257 and rounded",
        },
        "outputs": {"logits": "one for each class, then noise", "features": "before the last linear layer"},
        "temperature": manifest.calibration.temperature if manifest.calibration else None,
        "decision": _decision(manifest, reference),
        "network": manifest.network,
        "licence": _licence(manifest),
        "source": manifest.source.model_dump() if manifest.source else None,
        "seed": str(manifest.seed),
        "dataset_hash": manifest.dataset_hash,
    }


def _decision(manifest: ModelManifest, reference: Reference | None) -> dict[str, Any]:
    if manifest.rule is not None:
        fitted = fit_rule(manifest.rule, reference)
        budget = fitted.promised(DEFAULT_MAX_FALSE_REJECT)
        bounds = zip(manifest.rule.names, reasons_of(manifest.rule), fitted.thresholds(budget), strict=True)
        scores = [_score(name, as_told(name, bound), reason) for name, reason, bound in bounds]
    elif manifest.calibration is not None:
        budget = manifest.budget(None)
        scores = [_score(REJECT_SCORE, manifest.calibration.threshold(budget), "low_confidence")]
    else:
        budget, scores = DEFAULT_MAX_FALSE_REJECT, []
    return {"max_false_reject": budget, "scores": scores, "rule": _DECIDED, "reject_score": _REJECT_SCORE}


def _score(name: str, threshold: float, reason: str) -> dict[str, Any]:
    return {"score": name, "higher_means": direction_of(name), "threshold": threshold, "reason": reason}


def _licence(manifest: ModelManifest) -> str | None:
    """Of the weights that somebody else has trained; None where there are none, or it is not known."""
    network = getattr(manifest.spec, "network", None)
    return network.facts.licence or None if isinstance(network, BackboneNetwork) else None


def _noted_in_onnx(graph: bytes, facts: dict[str, Any]) -> bytes:
    # Repeated fields of two messages in a row are joined: a large graph is not parsed for this.
    notes = ModelProto(metadata_props=list(_entries(facts)))
    return graph + bytes(notes.SerializeToString())


def _entries(facts: dict[str, Any]) -> Iterator[StringStringEntryProto]:
    for name, value in facts.items():
        yield StringStringEntryProto(key=_PREFIX + name, value=json.dumps(value, ensure_ascii=False))


def _noted_in_weights(weights: bytes, facts: dict[str, Any]) -> bytes:
    """One entry for all: safetensors writes several in an order of its own each time."""
    end = _LENGTH_BYTES + int.from_bytes(weights[:_LENGTH_BYTES], "little")
    header = json.loads(weights[_LENGTH_BYTES:end])
    noted = {"__metadata__": {"noisegate": json.dumps(facts, ensure_ascii=False)}, **header}
    written = json.dumps(noted, ensure_ascii=False, separators=(",", ":")).encode()
    padded = written.ljust(-(-len(written) // _LENGTH_BYTES) * _LENGTH_BYTES)
    return len(padded).to_bytes(_LENGTH_BYTES, "little") + padded + weights[end:]
