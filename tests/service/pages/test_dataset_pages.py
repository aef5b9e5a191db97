"""Datasets as pages: classes, galleries, thumbnails."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.data.originals import Entry, index_bytes
from noisegate.store.tables import Dataset
from tests.service.factories import TEST_COUNT, TRAIN_COUNT, dataset_images, ready_dataset
from tests.service.pages.conftest import House, Parsed

SIZES = (300, 200)


def pictures(page: str) -> list[int]:
    """The places of the images that a gallery shows."""
    return [int(place) for place in re.findall(r'src="[^"]*/images/\w+/(\d+)/thumbnail', page)]


def test_the_gallery_shows_a_class_of_a_split(house: House) -> None:
    path = f"/ui/datasets/{house.ids['dataset']}"
    assert pictures(house.get(path).text) == list(range(60))
    assert pictures(house.get(f"{path}?first=60").text) == list(range(60, TRAIN_COUNT))
    assert pictures(house.get(f"{path}?label=1").text) == list(range(1, TRAIN_COUNT, 2))
    assert pictures(house.get(f"{path}?label=0&split=test").text) == list(range(0, TEST_COUNT, 2))
    assert house.get(f"{path}?label=2").status_code == 422
    assert "100 training images" in re.sub(r"\s+", " ", Parsed(house.get(path).text).text)


def test_thumbnails_without_originals_are_the_packed_images(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['ada']}"}
    path = f"/datasets/{house.ids['dataset']}/images/test/3/thumbnail.jpg"
    answer = house.client.get(path, headers=headers)
    shown = np.asarray(Image.open(io.BytesIO(answer.content)), dtype=np.float64)
    true = dataset_images(1)[TRAIN_COUNT + 3].astype(np.float64)
    assert shown.shape == true.shape
    assert np.corrcoef(shown.ravel(), true.ravel())[0, 1] > 0.97
    again = house.client.get(path, headers=headers | {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert house.client.get(path.replace("/3/", "/20/"), headers=headers).status_code == 404
    assert house.client.get(f"{path}?size=5000", headers=headers).status_code == 422


@pytest.fixture
def photographed(client: TestClient) -> str:
    """The id of a dataset whose only original is a photograph, wider than high."""
    resources = client.app_state["resources"]
    with resources.sessions.begin() as session:
        dataset = ready_dataset(session, resources.artefacts)
        file = io.BytesIO()
        Image.new("RGB", SIZES, (10, 200, 30)).save(file, "JPEG")
        content = file.getvalue()
        entries = [Entry("train/cat/1.jpg", "1", max(SIZES), 0, 0, len(content))]
        row = session.get_one(Dataset, dataset.id)
        row.originals_digest = resources.artefacts.put_bytes(content)
        row.originals_index_digest = resources.artefacts.put_bytes(index_bytes(entries, [len(content)]))
    return dataset.id


def test_thumbnails_of_originals_are_whole_pictures(client: TestClient, photographed: str) -> None:
    answer = client.get(f"/datasets/{photographed}/images/train/0/thumbnail.jpg?size=60")
    shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    assert shown.shape == (40, 60, 3), "neither padded nor cut"
    assert abs(shown - [10, 200, 30]).max() < 8
