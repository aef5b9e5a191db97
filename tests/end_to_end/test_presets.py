"""Every table and figure of the paper, from its preset to its picture, on the bundled digits; and a restart in the middle."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from noisegate.api.result_answers import ResultRow, ResultsAnswer
from noisegate.client import Noisegate
from noisegate.local import running as local
from noisegate.presets import catalogue
from tests.conftest import wait_until
from tests.data.archive_factory import write_archive

IMAGE_SIZE = 16
# One of every kind, a sweep over noise and one over subgroups: what takes another way through service and worker. All
# others differ in their numbers only, and take minutes.
AT_EACH_COMMIT = ("table-3", "mixed-gaussian", "figure-5", "figure-6", "figure-13", "open-set-6-4")
# It needs the experiment of another: tests/samples posts the two.
ALONE = [name for name in catalogue.names() if name != "value-ablation"]
PRESETS = [name if name in AT_EACH_COMMIT else pytest.param(name, marks=pytest.mark.nightly) for name in ALONE]
# Table 1, for kinds that have a test set.
METRICS = ("accuracy", "confidence", "spuriousness", "true_class_probability", "noise_per_10000")
MEASURES = {
    "hybrids": {"accepted_as_low", "accepted_as_high", "accepted_as_other", "rejected"},
    "curve_fitting": {"crossing", "rmse"},
    "open_set": {"auroc of held_out", "oscr of held_out", "rejected of held_out"},
    "decision_map": {"accuracy", "area_A", "area_noise"},
}


@dataclass(frozen=True)
class Posted:
    """The presets at smoke scale, by the id of their experiments, in a system that was stopped in the middle.

    `before` is what had succeeded of table 3 when it was.
    """

    data_dir: Path
    ids: dict[str, str]
    before: dict[str, tuple[Any, ...]]


def test_every_kind_is_tried_at_each_commit() -> None:
    def kinds(names: Iterable[str]) -> set[tuple[str, bool]]:
        specs = [catalogue.get(name).spec_at("smoke") for name in names]
        return {(spec.kind, "subgroup" in spec.sweep) for spec in specs}

    assert kinds(AT_EACH_COMMIT) == kinds(catalogue.names())


@pytest.fixture(scope="module")
def everything(request: pytest.FixtureRequest) -> bool:
    """Whether this run is one of all presets."""
    return any(item.path == request.path and item.get_closest_marker("nightly") for item in request.session.items)


@pytest.fixture(scope="module")
def posted(tmp_path_factory: pytest.TempPathFactory, everything: bool) -> Posted:
    """A system of its own: what presets leave, the alias `default` above all, would be in the way of other tests.

    Classifiers are trained on images of half the size: the whole would take minutes more and show nothing else.
    """
    data_dir = tmp_path_factory.mktemp("presets")
    # What is posted first is trained first.
    names = ["table-3", *(name for name in ALONE if name != "table-3")]
    with local.running(data_dir, 0, workers=1) as up, up.client() as client:
        sent = client.datasets.upload(
            write_archive(data_dir / "small.zip", _digits()), name="small", image_size=IMAGE_SIZE
        )
        assert client.datasets.wait(sent["id"])["state"] == "ready"
        ids = {
            name: client.experiments.create(_request(name, everything))["id"]
            for name in names
            if everything or name in AT_EACH_COMMIT
        }
        table = ids["table-3"]
        wait_until(lambda: len(_succeeded(client, table)) >= 3, seconds=300, what="a third of the table is there")
        return Posted(data_dir, ids, _succeeded(client, table))


def _request(name: str, everything: bool) -> dict[str, Any]:
    """The preset at scale smoke, on smaller images, of which a table's subgroups learn something by smaller steps."""
    asked: dict[str, Any] = {"preset": name, "scale": "smoke"}
    if name == "table-3" and not everything:
        asked["sweep"] = {"subgroup": catalogue.get(name).spec_document("smoke")["sweep"]["subgroup"][:9]}
    smoke: dict[str, Any] = catalogue.get(name).scales.smoke
    if smoke.get("dataset") != "digits" or "network" in catalogue.get(name).spec:
        return asked  # a backbone sees little in images that small, and needs seconds for the usual ones
    training = {"training": smoke["training"] | {"batch_size": 8}} if name.startswith("table") else {}
    return asked | {"dataset": "small", "image_size": IMAGE_SIZE} | training


def _digits() -> dict[str, bytes]:
    scans, files = load_digits(), {}
    for number, (image, label) in enumerate(zip(scans.images, scans.target, strict=True)):
        encoded = io.BytesIO()
        Image.fromarray(np.kron(image * (255 / 16), np.ones((2, 2))).astype(np.uint8)).save(encoded, "PNG")
        files[f"{label}/{number}.png"] = encoded.getvalue()
    return files


@pytest.fixture(scope="module")
def running(posted: Posted) -> Iterator[local.Running]:
    with local.running(posted.data_dir, 0, workers=1) as up:
        yield up


@pytest.fixture(scope="module")
def client(running: local.Running) -> Iterator[Noisegate]:
    with running.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def finished(client: Noisegate, posted: Posted) -> dict[str, ResultsAnswer]:
    """The results of the presets."""
    ended = {name: client.experiments.wait(id) for name, id in posted.ids.items()}
    assert {name: ended[name]["error"] for name in ended if ended[name]["state"] != "succeeded"} == {}
    return {name: client.experiments.results(id) for name, id in posted.ids.items()}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_finite_numbers_for_all_metrics(finished: dict[str, ResultsAnswer], name: str) -> None:
    results = finished[name]
    assert results["preset"] is not None
    assert (results["preset"]["name"], results["preset"]["scale"]) == (name, "smoke")
    for row in results["rows"]:
        assert row["n"] == row["executions"] > 0, row["label"]
        for measure, value in _numbers(results, row):
            assert math.isfinite(value), f"{row['label']}: {measure}"
        assert MEASURES.get(results["kind"], set()) <= row["measures"].keys()


def _numbers(results: ResultsAnswer, row: ResultRow) -> list[tuple[str, float]]:
    plain: dict[str, Any] = dict(row)
    metrics = METRICS if results["kind"] in ("training", "hybrids") else ()
    found = [(name, plain[name]["mean"]) for name in metrics]
    return found + [(name, summary["mean"]) for name, summary in row["measures"].items()]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_figure(running: local.Running, finished: dict[str, ResultsAnswer], name: str) -> None:
    id = finished[name]["experiment"]["id"]
    with httpx2.Client(base_url=running.url, timeout=600) as http:
        listed = http.get(f"/results/{id}/figures").json()["items"]
        assert name in {figure["name"] for figure in listed}
        for figure in listed:
            assert ElementTree.fromstring(http.get(figure["svg"]).content).tag.endswith("svg")
            if figure["name"] == name:  # the same drawing
                assert http.get(figure["png"]).content.startswith(b"\x89PNG")


def test_published_values_stand_beside_those_measured(finished: dict[str, ResultsAnswer]) -> None:
    published = [row["published"] for row in finished["mixed-gaussian"]["rows"]]
    assert [values and values["accuracy"] for values in published] == [
        pytest.approx(value) for value in (0.7467, 0.7388, 0.7368, 0.7471, 0.7480)
    ]
    assert {values and values["n"] for values in published} == {50}


@pytest.mark.parametrize("table", ["table-3", pytest.param("table-2", marks=pytest.mark.nightly)])
def test_subgroups_tell_what_they_are_made_of(finished: dict[str, ResultsAnswer], table: str) -> None:
    results = finished[table]
    base = results["base"]
    assert base is not None
    assert base["scored"] is not None
    correct, wrong = base["scored"]["correct"], base["scored"]["wrong"]
    assert results["rows"][0]["subgroup"] is None
    for row in results["rows"][1:]:
        subgroup, share = row["subgroup"], row["point"]["subgroup"]["fraction"]
        assert subgroup is not None
        assert subgroup["correct"] == math.floor(share * correct + 0.5)
        assert subgroup["wrong"] == math.floor(share * wrong + 0.5)
        assert subgroup["size"] == sum(subgroup["classes"].values())
        assert subgroup["size"] == math.floor(share * correct + 0.5) + math.floor(share * wrong + 0.5)


def test_results_say_where_their_numbers_come_from(finished: dict[str, ResultsAnswer]) -> None:
    for row in finished["mixed-gaussian"]["rows"]:
        provenance = row["provenance"]
        assert provenance["precisions"][0] in ("float32", "bfloat16")
        assert provenance["devices"]
        assert {"torch", "numpy", "noisegate", "python"} <= provenance["versions"][0].keys()
        assert provenance["images_per_second"] is not None
        assert len(row["seeds"]) == row["n"]


def test_a_restart_half_way_through_table_3_repeats_no_finished_execution(
    client: Noisegate, finished: dict[str, ResultsAnswer], posted: Posted, everything: bool
) -> None:
    after = _succeeded(client, finished["table-3"]["experiment"]["id"])
    assert len(posted.before) < len(after) == (18 if everything else 10)
    assert {key: after[key] for key in posted.before} == posted.before


def _succeeded(client: Noisegate, id: str) -> dict[str, tuple[Any, ...]]:
    """What a repetition would change."""
    return {
        found["id"]: (found["attempt"], found["finished_at"], found["metrics"])
        for found in client.experiments.executions(id)
        if found["state"] == "succeeded"
    }
