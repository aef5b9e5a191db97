"""Models where there is no Noisegate: the lines of docs/elsewhere.md, run as they stand, decide as the service does."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import safetensors
import torch
from PIL import Image

from noisegate.decision_rule import DecisionRule
from noisegate.evaluation.references import make_reference
from noisegate.inference.classifier import Classifier
from noisegate.inference.fitting import resized
from noisegate.learning.cells import prepare_cell
from noisegate.learning.describing import described, facts_of
from noisegate.learning.encoding import make_encoder
from noisegate.learning.export import ModelFiles, Served, export_model
from noisegate.learning.graphs import trace, with_head
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.portable import opset_of
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import fitted
from noisegate.rejection.reference import Reference
from noisegate.spec.derived import Fitting
from noisegate.spec.pretrained import PretrainedExperiment
from tests.learning import fine_tuning
from tests.learning.factories import CLASSES, cell_data, experiment_spec, fresh, run_all, training_spec
from tests.learning.runtimes import RUNTIMES, node_packages

Model = tuple[ModelFiles, ModelFiles, Reference]

PAGE = (Path(__file__).parents[2] / "docs/elsewhere.md").read_text()
LINES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
LINES_OF_NODE = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)[0]


@pytest.fixture(scope="module")
def model() -> Model:
    """The files of a model of three colours and noise before they are described, and after; and its reference."""
    cell = prepare_cell(experiment_spec(training=training_spec(), holdout=0.25), cell_data(), 0)
    (outcome,) = run_all(cell, [2**62 + 1])
    assert isinstance(outcome, ExecutionOutcome)
    reference = make_reference(cell, outcome)
    assert reference
    files = export_model(cell, outcome, execution=0, reference=reference)
    return files, described(files, reference), reference


def pictures() -> list[Image.Image]:
    """Of one colour as in training, more and less of it, in several sizes; of two colours; and noise."""
    generator = np.random.default_rng(3)
    found = []
    for number in range(60):
        side = 8 if number % 2 else int(generator.integers(9, 12))
        pixels = generator.integers(0, 120 if number % 5 else 256, (side, side, 3), dtype=np.uint8)
        pixels[..., number % 3] += np.uint8(number if number % 5 else 0)
        pixels[..., (number + 1) % 3] += np.uint8(number if number % 5 == 1 else 0)
        found.append(Image.fromarray(pixels))
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_lines_of_the_page_decide_as_the_service_does(
    model: Model, runtime: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, files, reference = model
    (tmp_path / "model.onnx").write_bytes(files.onnx)
    named = ModuleType("onnxruntime")
    named.InferenceSession = runtime  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", named)
    monkeypatch.chdir(tmp_path)
    classifier = Classifier(files.onnx, files.manifest, reference)
    lines = compile(LINES, "docs/elsewhere.md", "exec")
    decided = []
    for picture in pictures():
        picture.save("image.png")
        (decision,) = classifier.classify(resized(picture, 8, Fitting())[np.newaxis])
        found: dict[str, Any] = {}
        exec(lines, found)  # the page is what is tested
        assert found["rejected"] is decision.rejected
        assert found["reject_score"] == pytest.approx(decision.reject_score, abs=1e-4)
        expected = [*decision.probabilities.values(), decision.noise_probability]
        np.testing.assert_allclose(found["probabilities"], np.array(expected, float), atol=1e-4)
        decided.append((decision.reason, decision.label))
    assert {reason for reason, _ in decided} == {None, "noise", "low_confidence"}
    assert len({label for _, label in decided}) >= 2
    assert len(list(filter(None, LINES.splitlines()))) == 10


@pytest.mark.parametrize("package", ["onnxruntime-node", "onnxruntime-web"])
def test_the_lines_for_node_decide_as_the_service_does(model: Model, package: str, tmp_path: Path) -> None:
    packages = node_packages(package)
    _, files, reference = model
    (tmp_path / "model.onnx").write_bytes(files.onnx)
    (tmp_path / "model.safetensors").write_bytes(files.weights)
    (tmp_path / "node_modules").symlink_to(packages)
    shown = LINES_OF_NODE.replace("onnxruntime-node", package) + "console.log(rejected, rejectScore)\n"
    (tmp_path / "lines.mjs").write_text(shown)
    classifier = Classifier(files.onnx, files.manifest, reference)
    reasons = set()
    for picture in pictures()[:12]:
        pixels = resized(picture, 8, Fitting())
        (tmp_path / "image.rgb").write_bytes(pixels.tobytes())
        ran = subprocess.run(["node", "lines.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert not ran.returncode, ran.stderr
        rejected, reject_score = ran.stdout.split()
        (decision,) = classifier.classify(pixels[np.newaxis])
        assert rejected == ("true" if decision.rejected else "false")
        assert float(reject_score) == pytest.approx(decision.reject_score, abs=1e-4)
        reasons.add(decision.reason)
    assert len(reasons) >= 2


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("network", ["compact", "resnet18", "a backbone"])
def test_other_networks_answer_alike(network: str, runtime: Callable[[str], Any], tmp_path: Path) -> None:
    graph, size = graphs()[network]
    (tmp_path / "model.onnx").write_bytes(graph)
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    expected = onnxruntime.InferenceSession(graph).run(["logits", "features"], {"images": images})
    found = runtime(str(tmp_path / "model.onnx")).run(["logits", "features"], {"images": images})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@functools.cache
def graphs() -> dict[str, tuple[bytes, int]]:
    """Networks with fresh weights, by name, each with its size of images."""
    sample = np.random.default_rng(1).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    found = {}
    for network in ("compact", "resnet18"):
        statistics = architecture(network, image_size=32, outputs=4).statistics
        served = Served(fresh(network, 32, 4), fitted(statistics, sample))
        found[network] = trace(served, 32, ["logits", "features"]), 32
    head = torch.nn.Linear(len(fine_tuning.loaded().network(torch.zeros(1, 3, 32, 32))[0]), 4)
    backbone = make_encoder(fine_tuning.loaded(), 32).graph
    found["a backbone"] = with_head(backbone, head.weight.detach(), head.bias.detach()), 32
    return found


def test_both_files_say_the_same_and_answer_as_before(model: Model) -> None:
    plain, files, reference = model
    facts = facts_of(files.manifest, reference)
    entries = {entry.key: json.loads(entry.value) for entry in onnx.load_from_string(files.onnx).metadata_props}
    assert entries == {f"noisegate.{name}": value for name, value in facts.items()}
    assert entries["noisegate.classes"] == list(CLASSES)
    assert (entries["noisegate.noise_index"], entries["noisegate.seed"]) == (3, str(2**62 + 1))
    assert entries["noisegate.input"]["dtype"] == "uint8"
    assert entries["noisegate.licence"] is None
    onnx.checker.check_model(onnx.load_from_string(files.onnx), full_check=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    before, after = (Classifier(one.onnx, one.manifest).logits(images) for one in (plain, files))
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old, new)
    assert described(plain, reference) == files, "the same bytes each time"


def test_the_weights_are_the_same_tensors(model: Model, tmp_path: Path) -> None:
    plain, files, reference = model
    for name, content in (("plain", plain.weights), ("noted", files.weights)):
        (tmp_path / name).write_bytes(content)
    with (
        safetensors.safe_open(tmp_path / "plain", "numpy") as old,
        safetensors.safe_open(tmp_path / "noted", "numpy") as new,
    ):
        assert json.loads(new.metadata()["noisegate"]) == facts_of(files.manifest, reference)
        assert sorted(new.keys()) == sorted(old.keys())
        assert all(np.array_equal(new.get_tensor(name), old.get_tensor(name)) for name in old.keys())  # noqa: SIM118


def test_no_shape_of_a_result_in_between_stays(model: Model) -> None:
    graph = onnx.load_from_string(model[1].onnx)
    assert list(graph.graph.value_info) == []
    assert f"`opset_import`; {opset_of(graph)} of" in PAGE


def test_a_rule_of_several_scores_has_the_thresholds_that_decide(model: Model) -> None:
    plain, _, reference = model
    rule = DecisionRule.of("knn", "reject_score")
    manifest = plain.manifest.model_copy(update={"rule": rule})
    decision = facts_of(manifest, reference)["decision"]
    image = np.full((1, 8, 8, 3), 90, np.uint8)
    (found,) = Classifier(plain.onnx, manifest, reference).classify(image, rule=rule)
    assert found.rule
    assert decision["max_false_reject"] == found.max_false_reject
    for said, told in zip(decision["scores"], found.rule, strict=True):
        assert said == {
            "score": told.score,
            "higher_means": told.higher_means,
            "threshold": told.threshold,
            "reason": told.reason,
        }


def test_without_a_holdout_nothing_but_noise_rejects(model: Model) -> None:
    plain, _, _ = model
    facts = facts_of(plain.manifest.model_copy(update={"calibration": None}), None)
    assert (facts["decision"]["scores"], facts["temperature"]) == ([], None)
    others = replace(plain, manifest=plain.manifest.model_copy(update={"has_noise_class": False}))
    assert facts_of(others.manifest, None)["noise_index"] is None
    assert not isinstance(plain.manifest.spec, PretrainedExperiment)


def test_what_the_page_says_of_floats(model: Model, tmp_path: Path) -> None:
    """ONNX Runtime refuses them; OpenVINO casts 0 … 1 to zeros."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model[1].onnx)
    scaled = np.full((1, 8, 8, 3), 0.9, np.float32)
    with pytest.raises(Exception, match="Unexpected input data type"):
        onnxruntime.InferenceSession(str(path)).run(None, {"images": scaled})
    run = openvino.Core().compile_model(str(path), "CPU")
    black = run({"images": np.zeros((1, 8, 8, 3), np.uint8)})["logits"]
    assert np.array_equal(run({"images": scaled})["logits"], black)
