"""A family that this library has never heard of: one class, one entry in the table, and everything follows."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import Field
from starlette.testclient import TestClient

from noisegate.errors import InvalidSpec
from noisegate.evaluation.cards import make_card
from noisegate.learning.cells import prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.noise import FAMILIES, NoiseFamily
from noisegate.noise.base import Quantity
from noisegate.noise.canvas import Canvas, Images
from noisegate.noise.drawing import noise_images
from noisegate.spec import TrainingExperiment, parse_spec
from noisegate.spec.labels import label
from noisegate.store.artefacts import Artefacts
from service.noise.sheet import SheetLayout
from service.results.figures.values import noise_number
from tests.learning.factories import cell_data, experiment_spec, run_all, training_spec
from tests.service.conftest import run_client, settings_in
from tests.service.factories import ready_dataset


class StripesNoise(NoiseFamily):
    """Black and white rows of one width, a random one on top."""

    covered: ClassVar[frozenset[str]] = frozenset({"checkerboard", "rademacher"})

    family: Literal["stripes"]
    width: int = Field(2, ge=1, le=8)
    quantity: Quantity = 1

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        rows = np.arange(canvas.image_size)[None, :, None, None] // self.width
        first = generator.integers(2, size=(canvas.count, 1, 1, 1))
        return np.broadcast_to((rows + first) % 2 * 255, canvas.shape).astype(np.uint8)


class MirrorNoise(NoiseFamily):
    """Training images upside down, with no words, coverage or details of its own, and a field that must be given."""

    example_fields: ClassVar[dict[str, int]] = {"shift": 1}

    family: Literal["mirror"]
    shift: int
    quantity: Quantity = 1

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        images = canvas.checked_training_images()
        chosen: Images = images[generator.integers(len(images), size=canvas.count), ::-1]
        return chosen

    @property
    def needs_training_images(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "stripes", StripesNoise)
    monkeypatch.setitem(FAMILIES, "mirror", MirrorNoise)


@pytest.fixture
def client(tmp_path: Path, migrated_database: Path, broker_url: str) -> Iterator[TestClient]:
    """The application, with a dataset `pets`."""
    settings = settings_in(tmp_path / "data", migrated_database, broker_url)
    with run_client(settings) as client:
        with client.app_state["resources"].sessions.begin() as session:
            ready_dataset(session, Artefacts(settings.artefact_root))
        yield client


def parsed(noise: object) -> TrainingExperiment:
    spec = parse_spec({"dataset": "pets", "noise": noise})
    assert isinstance(spec, TrainingExperiment)
    return spec


def test_a_spec_holds_it_alone_and_among_others() -> None:
    assert parsed({"family": "stripes"}).noises == [StripesNoise(family="stripes")]
    several = parsed([{"family": "gray"}, {"family": "stripes", "width": 3, "quantity": 2}])
    assert several.noises[1] == StripesNoise(family="stripes", width=3, quantity=2)
    document = several.model_dump_json()
    # Fields come in the order of the class: stored specs have the quantity behind the parameters.
    assert '{"family":"stripes","width":3,"quantity":2.0}' in document
    assert parse_spec(json.loads(document)) == several


def test_a_family_that_has_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, "stripes")
    with pytest.raises(InvalidSpec):
        parsed({"family": "stripes"})


@pytest.mark.parametrize(
    ("noise", "field"),
    [
        ({"family": "stripes", "width": 0}, "noise.width"),
        ([{"family": "gray"}, {"family": "stripes", "width": 0}], "noise.1.width"),
        ({"family": "stripes", "std": 3}, "noise.std"),
        ({"family": "stripes", "quantity": -1}, "noise.quantity"),
        ({"family": "mirror"}, "noise.shift"),
        ([{"family": "stripe"}], "noise.0.family"),
    ],
)
def test_its_fields_are_named_where_they_are_wrong(noise: object, field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parsed(noise)
    assert [error.field for error in caught.value.errors] == [field]


def test_a_misspelt_name_is_answered_with_the_near_one_and_all_there_are() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parsed({"family": "stripe"})
    (error,) = caught.value.errors
    assert (error.field, error.message) == ("noise.family", "there is no 'stripe'")
    assert error.remedy == (
        "Did you mean stripes? There are: gaussian, uniform, solid, gray, mixture, structured, images, stripes, mirror."
    )


def test_it_is_drawn() -> None:
    images = noise_images(np.random.default_rng(0), StripesNoise(family="stripes", width=3), 50, 9)
    assert [row.tolist() for row in np.unique(images[:, :, 0, 0], axis=0)] == [
        [0, 0, 0, 255, 255, 255, 0, 0, 0],
        [255, 255, 255, 0, 0, 0, 255, 255, 255],
    ]
    assert (images == images[:, :, :1, :1]).all()


def test_training_images_are_asked_for_before_anything_is_drawn() -> None:
    mirror = MirrorNoise(family="mirror", shift=0)
    with pytest.raises(ValueError, match="there are none"):
        noise_images(np.random.default_rng(0), mirror, 0, 8)
    images = cell_data().train_images
    drawn = noise_images(np.random.default_rng(0), mirror, 5, 8, images)
    assert all((images[:, ::-1] == image).all(axis=(1, 2, 3)).any() for image in drawn)


def test_labels_and_figures_know_its_words_and_defaults() -> None:
    assert label({"noise": {"family": "stripes", "quantity": 5}}) == "stripes 5×"
    assert noise_number({"noise": {"family": "stripes"}}, "width") == 2


def test_a_card_says_what_was_trained_on_and_a_family_that_says_nothing_covers_nothing() -> None:
    noise = [{"family": "stripes"}, {"family": "mirror", "shift": 0}]
    spec = experiment_spec(noise=noise, training=training_spec(epochs=1))
    cell = prepare_cell(spec, cell_data(train=90, test=20), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    card = make_card(cell, outcome, None, images_per_family=2)
    assert {family.name for family in card.families if family.trained} == {"checkerboard", "rademacher"}


def test_the_preview_shows_it_among_the_families_and_alone(client: TestClient) -> None:
    layout = SheetLayout(32, 8)
    sheet = _picture(client, dataset="pets")
    rows = (sheet.shape[0] - layout.top(0)) // layout.row_height
    # Four plain families, a mixture of four groups, seven structured kinds, and these two.
    assert rows == 4 + 4 + 7 + 2
    alone = _picture(client, family="stripes")
    tile = alone[layout.top(0) :, layout.left(0) :][
        : layout.tile : layout.enlargement, : layout.tile : layout.enlargement
    ]
    expected = noise_images(np.random.default_rng([0, 0]), StripesNoise(family="stripes"), 8, 32)
    assert np.array_equal(tile, expected[0])
    assert np.array_equal(_picture(client, noise='{"family": "stripes"}'), alone)


def test_the_short_form_has_no_room_for_a_family_with_fields_that_must_be_given(client: TestClient) -> None:
    refused = client.get("/noise/preview.png", params={"family": "mirror"})
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"]) == (422, "family")
    assert error["remedy"].endswith("There are: gaussian, uniform, solid, gray, structured, stripes.")


def _picture(client: TestClient, **query: str) -> np.ndarray:
    answer = client.get("/noise/preview.png", params=query)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_an_experiment_with_it_is_taken_and_told(client: TestClient) -> None:
    posted = client.post("/experiments", json={"dataset": "pets", "noise": {"family": "stripes", "width": 4}})
    assert posted.status_code == 202, posted.text
    told = client.get(posted.headers["location"]).json()
    assert told["spec"]["noise"] == {"family": "stripes", "width": 4, "quantity": 1}


def test_the_openapi_document_lists_it(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["StripesNoise"]["properties"]["width"]["maximum"] == 8
    one, several, _ = schemas["TrainingExperiment"]["properties"]["noise"]["anyOf"]
    for choice in (one, several["items"]):
        assert choice["discriminator"]["mapping"]["stripes"] == "#/components/schemas/StripesNoise"
    parameters = document["paths"]["/noise/preview.png"]["get"]["parameters"]
    (family,) = (entry["schema"]["anyOf"][0]["enum"] for entry in parameters if entry["name"] == "family")
    assert family == ["gaussian", "uniform", "solid", "gray", "structured", "stripes"]
