import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.noise import FAMILIES, DatasetImages, UniformNoise
from noisegate.noise.drawing import noise_images
from noisegate.store import datasets, ingestions
from noisegate.store.sessions import Sessions
from service.noise.schemas import PreviewQuery, every_family
from service.noise.sheet import LINE_HEIGHT, MARGIN, MAX_PIXELS, MAX_ROWS, Sheet, SheetLayout, plan_sheet
from tests.factories import failure
from tests.service.factories import TRAIN_COUNT, dataset_images

PATH = "/noise/preview.png"
MIXTURE = {"family": "mixture", "means": [60, 190], "stds": [10, 70], "filter_kind": "median", "filter_sizes": [1, 5]}
STRUCTURED = {"family": "structured"}


def picture(client: TestClient, **query: Any) -> np.ndarray:
    answer = client.get(PATH, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def images_in(sheet: np.ndarray, row: int, image_size: int = 32, columns: int = 8) -> np.ndarray:
    """The images of a row, made small again; each of their pixels must be a square of one colour."""
    layout = SheetLayout(image_size, columns)
    top, times = layout.top(row), layout.enlargement
    found = []
    for left in map(layout.left, range(columns)):
        tile = sheet[top : top + layout.tile, left : left + layout.tile]
        assert np.array_equal(tile, tile[::times, ::times].repeat(times, axis=0).repeat(times, axis=1))
        found.append(tile[::times, ::times])
    return np.stack(found)


def planned(document: object, image_size: int = 32, columns: int = 8) -> Sheet:
    query = PreviewQuery(noise=json.dumps(document), image_size=image_size, columns=columns)
    return plan_sheet(query.noises(), SheetLayout(image_size, columns))


@pytest.mark.parametrize(("image_size", "columns"), [(32, 8), (8, 1), (9, 20), (50, 3), (128, 2)])
def test_every_pixel_of_the_noise_can_be_seen(shared_client: TestClient, image_size: int, columns: int) -> None:
    sheet = picture(shared_client, family="uniform", low=100, image_size=image_size, columns=columns, seed=7)
    spec = UniformNoise(family="uniform", low=100)
    expected = noise_images(np.random.default_rng([7, 0]), spec, columns, image_size)
    assert np.array_equal(images_in(sheet, 0, image_size, columns), expected)


def test_images_of_a_dataset_are_no_noise_to_preview(shared_client: TestClient) -> None:
    answer = shared_client.get("/noise/preview.png", params={"noise": '{"family": "images", "dataset": "pets"}'})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "noise")
    assert "look at them there" in answer.json()["errors"][0]["remedy"]


def test_without_parameters_every_family_that_is_drawn_is_shown(shared_client: TestClient) -> None:
    drawn = [family for family in FAMILIES.values() if family is not DatasetImages]
    assert [type(noise) for noise in every_family()] == drawn
    sheet = picture(shared_client, dataset="pets")
    assert sheet.shape[1] == SheetLayout(32, 8).width
    assert sheet.shape[0] - MARGIN == SheetLayout(32, 8).top(4 + 4 + 7 - 1) + SheetLayout(32, 8).tile
    # In order: gaussian, uniform, solid, gray, mixture (4), uniform, gaussian, smooth, two_colour, grating, patches, solid.
    colours = [len(np.unique(images_in(sheet, row)[0].reshape(-1, 3), axis=0)) for row in range(15)]
    assert [colours[row] for row in (2, 3, 11, 12, 14)] == [1, 1, 2, 2, 1]
    assert min(colours[row] for row in (0, 1, 4, 5, 6, 7, 8, 9, 10, 13)) > 20


def test_a_white_margin_and_a_label_beside_every_row(shared_client: TestClient) -> None:
    sheet, layout = picture(shared_client, dataset="pets"), SheetLayout(32, 8)
    # A letter may reach a pixel out of its line.
    edge = MARGIN - 2
    for margin in (sheet[:edge], sheet[-edge:], sheet[:, :edge], sheet[:, -edge:]):
        assert (margin == 255).all()
    gap_after_labels = sheet[layout.top(0) :, layout.left(0) - 12 : layout.left(0) - 2]
    assert (gap_after_labels == 255).all()
    for row in range(15):
        label = sheet[layout.top(row) : layout.top(row) + layout.tile, MARGIN : layout.left(0) - 12]
        title, details = label[:LINE_HEIGHT], label[LINE_HEIGHT + 3 :]
        assert title.min() < 50
        assert details.min() < 150


def test_a_row_for_each_spec_group_and_kind_with_its_parameters() -> None:
    filtered = {"family": "gaussian", "mean": 31.5, "filter": {"kind": "mean", "size": 3}}
    rows = planned([filtered, MIXTURE, {"family": "structured", "kinds": ["two_colour", "uniform"]}]).rows
    assert [(row.title, row.details) for row in rows] == [
        ("gaussian", ["mean 31.5, std 70", "mean filter, 3 by 3"]),
        ("mixture, 1 of 8", ["mean 60, std 10"]),
        ("mixture, 2 of 8", ["mean 60, std 10", "median filter, 5 by 5"]),
        ("mixture, 3 of 8", ["mean 60, std 70"]),
        ("mixture, 4 of 8", ["mean 60, std 70", "median filter, 5 by 5"]),
        ("mixture, 5 of 8", ["mean 190, std 10"]),
        ("mixture, 6 of 8", ["mean 190, std 10", "median filter, 5 by 5"]),
        ("mixture, 7 of 8", ["mean 190, std 70"]),
        ("mixture, 8 of 8", ["mean 190, std 70", "median filter, 5 by 5"]),
        ("structured: uniform", ["all levels alike"]),
        ("structured: two_colour", ["smooth fields, thresholded"]),
    ]


@pytest.mark.parametrize(
    ("flat", "document"),
    [
        ({"family": "gaussian", "mean": 31.5, "std": 0}, {"family": "gaussian", "mean": 31.5, "std": 0}),
        ({"family": "uniform", "low": 0, "high": 9}, [{"family": "uniform", "low": 0, "high": 9}]),
        (
            {"family": "uniform", "filter_kind": "median", "filter_size": 3},
            {"family": "uniform", "filter": {"kind": "median", "size": 3}},
        ),
        ({"family": "structured", "dataset": "pets"}, STRUCTURED),
    ],
)
def test_the_short_form_and_json_are_the_same(
    shared_client: TestClient, flat: dict[str, Any], document: object
) -> None:
    assert np.array_equal(
        picture(shared_client, **flat), picture(shared_client, noise=json.dumps(document), dataset="pets")
    )


def test_patches_are_cut_from_the_training_images_of_the_dataset(shared_client: TestClient) -> None:
    shown = images_in(picture(shared_client, dataset="pets", noise='{"family": "structured", "kinds": ["patches"]}'), 0)
    originals = {np.sort(image.reshape(-1, 3), axis=0).tobytes() for image in dataset_images(1)[:TRAIN_COUNT]}
    assert all(np.sort(image.reshape(-1, 3), axis=0).tobytes() in originals for image in shown)
    small = picture(
        shared_client, dataset="pets", noise='{"family": "structured", "kinds": ["patches"]}', image_size=16
    )
    assert small.shape[1] == SheetLayout(16, 8).width


def test_a_picture_is_sent_once(shared_client: TestClient) -> None:
    first = shared_client.get(PATH, params={"family": "solid"})
    assert first.headers["cache-control"] == "public, max-age=3600"
    again = shared_client.get(
        PATH, params={"family": "solid"}, headers={"If-None-Match": f'W/"0", {first.headers["etag"]}'}
    )
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = shared_client.get(
        PATH, params={"family": "solid", "seed": 1}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert other.status_code == 200
    assert other.headers["etag"] != first.headers["etag"]
    # What a dataset's name means may change.
    of_dataset = shared_client.get(PATH, params={"dataset": "pets"})
    assert of_dataset.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"family": "gaussian", "std": -1}, ["noise.std"]),
        ({"family": "gaussian", "mean": 5000, "std": 5000}, ["noise.mean", "noise.std"]),
        ({"family": "solid", "std": 3}, ["noise.std"]),
        ({"family": "uniform", "low": 9, "high": 3}, ["noise"]),
        ({"family": "uniform", "filter_size": 3}, ["noise.filter.kind"]),
        ({"family": "uniform", "filter_kind": "mean", "filter_size": 4}, ["noise.filter.size"]),
        ({"family": "mixture"}, ["family"]),
        ({"std": 3}, ["family"]),
        ({"noise": '{"family": "gaussian"}', "std": 3}, ["noise"]),
        ({"noise": "gaussian"}, ["noise"]),
        ({"noise": "[]"}, ["noise"]),
        ({"noise": "[" * 10_000}, ["noise"]),
        ({"noise": '{"family": "pink"}'}, ["noise.family"]),
        ({"noise": '{"std": 3}'}, ["noise.family"]),
        ({"family": "pink"}, ["family"]),
        ({"noise": '{"family": "gaussian", "std": NaN}'}, ["noise.std"]),
        ({"noise": '[{"family": "solid"}, {"family": "gaussian", "std": -1}]'}, ["noise.1.std"]),
        ({"noise": '{"family": "mixture", "means": [1, 2000], "stds": [1]}'}, ["noise.means.1"]),
        ({"noise": '{"family": "structured", "kinds": ["cats"]}'}, ["noise.kinds.0"]),
        ({"family": "gaussian", "mean": "nan"}, ["mean"]),
        ({"family": "gaussian", "mean": "wide"}, ["mean"]),
        ({"image_size": 7}, ["image_size"]),
        ({"image_size": 129}, ["image_size"]),
        ({"columns": 0}, ["columns"]),
        ({"columns": 21}, ["columns"]),
        ({"seed": -1}, ["seed"]),
        ({"seed": 2**63}, ["seed"]),
        ({"colums": 3}, ["colums"]),
    ],
)
def test_what_is_wrong_is_named(shared_client: TestClient, query: dict[str, Any], fields: list[str]) -> None:
    answer = shared_client.get(PATH, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == fields


def test_patches_need_a_dataset_that_is_ready(client: TestClient) -> None:
    missing = client.get(PATH, params={"family": "structured", "dataset": "cats"})
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (404, "dataset")
    waiting = client.get(PATH)
    assert (waiting.status_code, waiting.json()["code"], waiting.headers["retry-after"]) == (409, "not-ready", "1")
    sessions: Sessions = client.app_state["resources"].sessions
    with sessions.begin() as session:
        digits = datasets.get(session, "digits")
        claimed = ingestions.claim(session, digits.id, owner="test", lease_seconds=30)
        assert claimed is not None
        ingestions.record_failed(session, claimed[1], failure("unexpected"))
    failed = client.get(PATH, params={"dataset": digits.id})
    assert (failed.status_code, failed.json()["code"], failed.headers.get("retry-after")) == (409, "conflict", None)
    assert client.get(PATH, params={"family": "gaussian", "dataset": "cats"}).status_code == 200


@pytest.mark.parametrize(("image_size", "columns"), [(8, 1), (32, 20), (65, 20), (128, 20)])
def test_a_sheet_is_bounded(image_size: int, columns: int) -> None:
    endless = {"family": "mixture", "means": list(range(64)), "stds": list(range(64))}
    sheet = planned([endless] * 32, image_size, columns)
    assert not sheet.complete
    assert 10 < len(sheet.rows) <= MAX_ROWS
    layout = sheet.layout
    assert layout.width * layout.row_height * len(sheet.rows) <= MAX_PIXELS
    assert 64 <= layout.tile <= 128


def test_slow_filters_get_fewer_rows_but_at_least_one() -> None:
    slow = {"family": "gaussian", "filter": {"kind": "median", "size": 7}}
    assert len(planned([slow] * 32).rows) == 32
    assert len(planned([slow] * 32, image_size=128, columns=20).rows) == 1
    assert len(planned([{"family": "gaussian"}] * 10, image_size=128, columns=20).rows) == 10


def test_left_out_rows_are_said(shared_client: TestClient) -> None:
    noise = json.dumps({"family": "mixture", "means": list(range(64)), "stds": [1, 2]})
    sheet = picture(shared_client, noise=noise, columns=1)
    below = sheet[SheetLayout(32, 1).top(MAX_ROWS) - 2 :]
    assert below.min() < 150
    assert len(below) > 20


def test_the_parameters_are_documented(shared_client: TestClient) -> None:
    operation = shared_client.get("/openapi.json").json()["paths"][PATH]["get"]
    parameters = {entry["name"]: entry for entry in operation["parameters"] if entry["in"] == "query"}
    assert set(parameters) == set(PreviewQuery.model_fields)
    assert all(entry["description"] for entry in parameters.values())
    assert set(operation["responses"]) >= {"200", "304", "404", "409", "422"}
    assert list(operation["responses"]["200"]["content"]) == ["image/png"]


def test_noise_comes_without_torch() -> None:
    code = "import sys, service.noise.routes; sys.exit('torch' in sys.modules or 'beartype' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
