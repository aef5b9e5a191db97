"""The demo's parts that decide: its images, and when it calls itself a failure. The whole of it is an end-to-end test."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from noisegate.api.decisions import DecisionAnswer
from noisegate.client import Noisegate
from noisegate.client.show import console_for
from noisegate.local import demo
from noisegate.spec import TrainingExperiment, parse_spec
from noisegate.spec.sweeps import cells_of
from tests.client.peer import Peer, Reply, json_reply, peer
from tests.client.samples import decision

DIGIT = decision()
NOISE = decision(label="noise", rejected=True, reason="noise")
DOUBT = decision(rejected=True, reason="low_confidence")


@pytest.fixture
def server() -> Iterator[Peer]:
    with peer() as running:
        running.replies("GET", "/datasets/digits/images/test/0.png", Reply(200, b"png", {"X-Label": "7"}))
        yield running


def ask(server: Peer, *decisions: DecisionAnswer) -> tuple[bool, str]:
    server.replies("POST", "/classify", *map(json_reply, decisions))
    console = console_for(io.StringIO())
    with Noisegate(server.url) as client:
        good = demo.ask_three_questions(client, console, "mod_1")
    assert isinstance(console.file, io.StringIO)
    return good, console.file.getvalue()


@pytest.mark.parametrize("photograph", [DIGIT, NOISE, DOUBT])
def test_all_is_well_whatever_becomes_of_the_photograph(server: Peer, photograph: DecisionAnswer) -> None:
    good, text = ask(server, DIGIT, NOISE, photograph)
    assert good
    assert 'number 0, which is "7"' in text
    assert {request.query["model"] for request in server.requests[1:]} == {"mod_1"}


@pytest.mark.parametrize("of_digit", [DOUBT, decision(label="1")])
def test_a_digit_misjudged_is_a_failure(server: Peer, of_digit: DecisionAnswer) -> None:
    good, text = ask(server, of_digit, NOISE, DOUBT)
    assert not good
    assert "The digit should have been accepted as 7." in text


@pytest.mark.parametrize("of_noise", [DIGIT, DOUBT])
def test_noise_not_taken_for_noise_is_a_failure(server: Peer, of_noise: DecisionAnswer) -> None:
    good, text = ask(server, DIGIT, of_noise, DOUBT)
    assert not good
    assert "The noise should have been rejected as noise." in text


def test_the_noise_image_is_what_the_spec_says() -> None:
    image = Image.open(io.BytesIO(demo.noise_image(np.random.default_rng(1))))
    pixels = np.asarray(image)
    assert pixels.shape == (32, 32, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert demo.noise_image(np.random.default_rng(1)) != demo.noise_image(np.random.default_rng(2))


def test_the_photograph_is_one() -> None:
    assert Image.open(io.BytesIO(demo.photograph())).format == "JPEG"


def test_the_demo_asks_for_a_cell_with_and_one_without_noise() -> None:
    cells = cells_of(parse_spec(demo.DEMO_SPEC))
    assert [isinstance(cell.spec, TrainingExperiment) and cell.spec.has_noise_class for cell in cells] == [False, True]
