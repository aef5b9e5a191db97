"""Figures as files, and the list of them."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import pytest

from noisegate.errors import NotFound
from noisegate.presets import catalogue as presets
from noisegate.spec import parse_spec
from service.results.figures.catalogue import draw, figures_of
from service.results.figures.description import describe
from service.results.figures.files import Format, write
from service.results.schemas import Results
from tests.service.fabricated_results import details_of, of_preset, of_spec

SVG = "{http://www.w3.org/2000/svg}"
# Clips, hatches, markers, images and texts: everything that has an id in SVG.
VARIED = ("figure-11", "figure-6", "figure-13")


def file_of(results: Results, format: Format) -> bytes:
    name = next(iter(figures_of(results)))
    figure = draw(name, results, details_of(results))
    return write(figure, format, title="a title", description=describe(results))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name not in VARIED)) for name in presets.names()]
)
def test_every_preset_has_the_figure_of_its_name(name: str) -> None:
    results = of_preset(name)
    assert next(iter(figures_of(results))) == name
    svg = file_of(results, "svg").decode()
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "a title"
    assert root.findtext(f"{SVG}desc") == describe(results)
    # Letters are outlines; beside them matplotlib notes what they say.
    said = re.findall(r"<!-- (.*?) -->", svg, flags=re.DOTALL)
    assert figures_of(results)[name] in said
    assert any(f"succeeded: {sum(row.n for row in results.rows)} of" in line for line in said)
    axis = {"figure-5": "fitted value", "figure-6": "share of the hybrids (%)", "figure-13": "noise_quantity=1 (n = 3)"}
    assert axis.get(name, "test accuracy (%)") in said


def test_png() -> None:
    image = file_of(of_preset("figure-9"), "png")
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert file_of(of_preset("figure-9"), "png") == image


def test_ids_in_svg_are_unique_and_found() -> None:
    svg = file_of(of_preset("figure-6"), "svg").decode()
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
    assert used
    assert set(used) <= set(ids)


def test_other_results_give_other_bytes() -> None:
    assert file_of(of_preset("figure-9"), "svg") != file_of(of_preset("figure-9", n=4), "svg")


def test_the_same_results_give_the_same_bytes_in_threads_too() -> None:
    alone = [file_of(of_preset(name), "svg") for name in VARIED]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda name: file_of(of_preset(name), "svg"), VARIED * 2))
    assert together == alone * 2


def test_settings_of_the_process_are_left_alone() -> None:
    before = dict(mpl.rcParams)
    file_of(of_preset("figure-6"), "svg")
    assert dict(mpl.rcParams) == before
    script = (
        "import sys; from service.results.figures.catalogue import draw; import tests.service.fabricated_results as made; "
        "results = made.of_preset('figure-13'); draw('figure-13', results, made.details_of(results)); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", ["$\\frac{x$", "<b>&amp;\"'", "\uffff\ufffe", "雑音 🙂", "wide " * 40, "x" * 200])
def test_any_name_can_be_drawn(name: str) -> None:
    spec = {"dataset": "d", "name": name, "noise": {"family": "uniform"}, "sweep": {"noise.quantity": [0, 1, 2]}}
    root = ET.fromstring(file_of(of_spec(parse_spec(spec)), "svg"))
    assert root.findtext(f"{SVG}desc")


def test_the_description_has_the_numbers() -> None:
    results = of_preset("figure-10")
    row = results.rows[1]
    assert row.accuracy
    assert row.accuracy.standard_error
    mean, error = 100 * row.accuracy.mean, 100 * row.accuracy.standard_error
    assert f"gaussian 31±70 1×: test accuracy (%) {mean:.2f} ± {error:.2f} (n = 3), published 74.01 ± 0.07" in describe(
        results
    )
    assert "nothing yet" in describe(of_preset("recommended", n=0))


def test_what_figures_there_are() -> None:
    assert list(figures_of(of_preset("figure-9"))) == ["figure-9", "accuracy", "metrics"]
    assert list(figures_of(of_preset("figure-5"))) == ["figure-5"]
    assert list(figures_of(of_spec(parse_spec({"dataset": "d"})))) == ["accuracy", "metrics"]
    assert list(figures_of(of_spec(parse_spec({"dataset": "d", "kind": "hybrids"})))) == ["hybrids"]
    assert list(figures_of(of_spec(parse_spec({"kind": "curve_fitting"})))) == ["curves"]
    assert list(figures_of(of_spec(parse_spec({"kind": "decision_map"})))) == ["decision-map"]
    assert list(figures_of(of_spec(parse_spec({"kind": "pretrained", "executions": 1})))) == []


def test_an_unknown_figure_names_those_there_are() -> None:
    with pytest.raises(NotFound) as error:
        draw("figure-99", of_preset("figure-9"), {})
    assert error.value.remedy == "There are: figure-9, accuracy, metrics."
