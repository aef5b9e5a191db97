"""The published values: each row belongs to one cell, and the numbers are those that are printed."""

import csv
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from noisegate.noise import FAMILIES
from noisegate.presets import catalogue
from noisegate.presets.published import PublishedValues
from noisegate.spec import SubgroupSpec, parse_spec
from noisegate.spec.sweeps import cells_of, value_at

PAPER = Path(__file__).parents[3] / "shared" / "paper"
BASELINE = 0.7467
ROWS = {
    "baseline": 1,
    "figure-9": 12,
    "figure-10": 8,
    "figure-11": 19,
    "figure-12": 15,
    "solid-colour": 10,
    "gray": 1,
    "uniform-127-50": 7,
    "mixed-gaussian": 5,
    "table-2": 17,
    "table-3": 17,
    "table-3-gaussian": 1,
    "figure-5": 0,
    "figure-6": 0,
    "figure-13": 0,
    "recommended": 0,
}


def _subgroup(correct: str, wrong: str, fraction: float) -> dict[str, Any]:
    return {"subgroup.correct": correct, "subgroup.wrong": wrong, "subgroup.fraction": fraction}


# From the text of the paper, and PAPER.md: preset, what the cell's spec holds, percentages A, σ_A, Pc, Ps, Pg, and N.
PRINTED: list[tuple[str, dict[str, Any], list[float | None]]] = [
    ("table-2", _subgroup("lc", "hs", 0.25), [19.26, 0.92, 24.68, 22.86, 13.67, None]),
    ("table-2", _subgroup("hc", "hs", 0.5), [60.48, 0.67, 75.62, 50.50, 15.92, None]),
    ("table-2", _subgroup("hc", "ls", 0.8), [71.43, 0.36, 92.65, 76.73, 10.16, None]),
    ("table-3", _subgroup("lc", "ls", 0.25), [30.82, 2.11, 28.31, 24.14, 15.43, 2.1]),
    ("table-3", _subgroup("lc", "hs", 0.75), [61.95, 1.38, 54.95, 43.80, 20.69, 0.5]),
    ("table-3", _subgroup("lc", "ls", 0.8), [71.68, None, None, None, None, None]),
    ("table-3", _subgroup("hc", "ls", 0.8), [71.76, None, None, None, None, None]),
    ("table-3", _subgroup("lc", "hs", 0.8), [65.21, None, None, None, None, None]),
    ("table-3", _subgroup("hc", "hs", 0.8), [72.50, None, None, None, None, None]),
    ("table-3", {"subgroup": None}, [75.20, 0.46, 84.21, 59.27, 16.67, 0.08]),
    ("table-3-gaussian", {"subgroup": None}, [75.21, 0.45, 83.49, 59.41, 16.62, 0.06]),
    ("figure-9", {"noise.std": 10}, [73.90, 0.49, 83.80, 58.69, 16.52, 0.3]),
    ("figure-10", {"noise.mean": 223}, [74.29, 0.58, 83.61, 59.33, 16.49, 0.32]),
    ("figure-11", {"noise.family": "uniform", "noise.quantity": 100}, [74.29, 3.16, 79.67, 54.48, 17.76, 0.16]),
    ("figure-12", {"noise.family": "uniform", "noise.filter.kind": "median", "noise.filter.size": 7},
     [74.72, 0.50, 83.56, 59.35, 16.62, 2.7]),
    ("solid-colour", {"noise.quantity": 100}, [73.79, 0.49, None, None, None, None]),
    ("uniform-127-50", {"noise.quantity": 10}, [73.68, 0.56, 82.03, 58.13, 16.53, 0.06]),
    ("mixed-gaussian", {"noise.quantity": 2}, [73.68, 0.56, 83.67, 58.73, 16.50, 3.18]),
]  # fmt: skip

# Preset: the authors' file, and which column of it a path of the spec goes by.
SOURCES: dict[str, tuple[str, dict[str, str]]] = {
    "figure-9": ("figure-9-std", {"noise.std": "std"}),
    "figure-10": ("figure-10-mean", {"noise.mean": "mean"}),
    "figure-11": ("figure-11-quantity", {"noise.family": "family", "noise.quantity": "quantity"}),
    "figure-12": (
        "figure-12-scale",
        {"noise.family": "family", "noise.filter.kind": "filter", "noise.filter.size": "size"},
    ),
    "solid-colour": ("solid-colour", {"noise.quantity": "quantity"}),
    "uniform-127-50": ("uniform-127-50", {"noise.quantity": "quantity"}),
    "table-2": (
        "table-2",
        {"subgroup.correct": "correct_half", "subgroup.wrong": "wrong_half", "subgroup.fraction": "fraction"},
    ),
    "table-3": (
        "table-3",
        {"subgroup.correct": "correct_half", "subgroup.wrong": "wrong_half", "subgroup.fraction": "fraction"},
    ),
}
COLUMNS = {
    "accuracy_pct": "accuracy",
    "accuracy_std_pct": "accuracy_std",
    "confidence_pct": "confidence",
    "spuriousness_pct": "spuriousness",
    "ground_truth_probability_pct": "true_class_probability",
    "noise_count": "noise_per_10000",
}


def cell_documents(name: str) -> list[dict[str, Any]]:
    return [cell.spec.model_dump(mode="json") for cell in cells_of(catalogue.get(name).spec_at("paper"))]


def published_of(preset: str, spec: dict[str, Any]) -> PublishedValues | None:
    return catalogue.published_for(preset, parse_spec(spec))


def _fields(*models: type[BaseModel]) -> set[str]:
    return {field for model in models for field in model.model_fields}


def document(**fields: Any) -> dict[str, Any]:
    return parse_spec({"dataset": "mine", **fields}).model_dump(mode="json")


@pytest.mark.parametrize("name", ROWS)
def test_each_row_belongs_to_exactly_one_cell(name: str) -> None:
    rows = catalogue.get(name).published
    found = [published_of(name, cell) for cell in cell_documents(name)]
    assert len(rows) == ROWS[name]
    assert [sum(row.values is values for values in found) for row in rows] == [1] * len(rows)


@pytest.mark.parametrize(("name", "cell", "percentages"), PRINTED)
def test_the_values_are_those_printed(name: str, cell: dict[str, Any], percentages: list[float | None]) -> None:
    (found,) = [
        published_of(name, spec)
        for spec in cell_documents(name)
        if all(value_at(spec, path) == value for path, value in cell.items())
    ]
    assert found
    *shares, noise = percentages
    measures = [found.accuracy, found.accuracy_std, found.confidence, found.spuriousness, found.true_class_probability]
    assert measures == [None if share is None else pytest.approx(share / 100, abs=1e-9) for share in shares]
    assert (found.noise_per_10000, found.n) == (noise, 50)


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("table-3", "table-3-gaussian") and ROWS[name]])
def test_the_baseline_stands_in_front(name: str) -> None:
    found = published_of(name, cell_documents(name)[0])
    assert found
    assert (found.accuracy, found.accuracy_std, found.noise_per_10000) == (BASELINE, 0.0046, None)


def test_the_notes_name_the_misprint_and_the_selection() -> None:
    by_cell = {tuple(row.cell.values())[:3]: row.values.note or "" for row in catalogue.get("table-2").published}
    assert "64.48" in by_cell["hc", "hs", 0.5]
    assert all(
        ("as_published" in note) == (cell[:2] != ("hc", "hs") and cell[0] is not None) for cell, note in by_cell.items()
    )


def test_shares_are_written_as_they_are_printed() -> None:
    values = [row.values for name in ROWS for row in catalogue.get(name).published]
    shares = [share for found in values for share in (found.accuracy, found.confidence, found.spuriousness) if share]
    assert max(len(repr(share)) for share in shares) == len("0.7467")


def test_the_second_run_of_the_baseline_is_told() -> None:
    found = published_of("baseline", document())
    assert found
    assert found.note
    assert "74.70" in found.note


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name]])
def test_rows_name_what_the_paper_varies_and_nothing_that_does_not_exist(name: str) -> None:
    # A path that leads nowhere would be null in every cell, and match.
    fields = {"noise": _fields(*FAMILIES.values()), "subgroup": _fields(SubgroupSpec)}
    for row in catalogue.get(name).published:
        assert {path.split(".")[0] for path in row.cell} == set(fields)
        assert all(
            inner in fields[outer] for outer, *inners in (path.split(".") for path in row.cell) for inner in inners[:1]
        )


def test_no_noise_is_recognised_however_it_is_written() -> None:
    nothing = {"family": "uniform", "quantity": 0}
    for noise in (None, nothing, [nothing], [nothing, {"family": "gray", "quantity": 0}]):
        found = published_of("figure-11", document(noise=noise))
        assert found
        assert found.accuracy == BASELINE
    listed = published_of("figure-11", document(noise=[nothing, {"family": "uniform", "quantity": 5}]))
    assert listed
    assert listed.accuracy == 0.752


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("figure-11", {"noise": [{"family": "uniform"}, {"family": "gaussian"}]}),
        ("figure-11", {"noise": {"family": "uniform", "quantity": 7}}),
        ("figure-11", {"noise": {"family": "uniform", "low": 1}}),
        ("figure-11", {"noise": {"family": "uniform", "filter": {"kind": "mean", "size": 3}}}),
        ("figure-11", {"noise": {"family": "gray"}}),
        ("figure-11", {"subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0.5}}),
        ("solid-colour", {"noise": {"family": "gray", "quantity": 5}}),
        ("baseline", {"noise": {"family": "gray"}}),
        ("table-2", {"subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0.5, "control": "random"}}),
        ("table-2", {"noise": {"family": "uniform", "quantity": 5}}),
        ("table-3", {"subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0.5}}),
        ("recommended", {}),
    ],
)
def test_what_the_paper_did_not_run_has_no_published_values(name: str, fields: dict[str, Any]) -> None:
    assert published_of(name, document(**fields)) is None


def test_other_kinds_have_none() -> None:
    assert published_of("figure-11", {"kind": "curve_fitting"}) is None


@pytest.mark.skipif(not PAPER.is_dir(), reason="the paper's own files lie beside the repository, or nowhere")
@pytest.mark.parametrize("name", SOURCES)
def test_the_values_are_those_of_the_authors_files(name: str) -> None:
    file, columns = SOURCES[name]
    with (PAPER / f"{file}.csv").open() as lines:
        records = list(csv.DictReader(lines))
    cells = cell_documents(name)
    for record in records:
        wanted = {path: _value(record[column]) for path, column in columns.items()}
        if wanted.get("noise.quantity") == 0 or wanted.get("noise.filter.kind") == "none":
            continue  # cells without noise, or without a filter: other tests have them
        (found,) = [
            published_of(name, cell) for cell in cells if all(value_at(cell, path) == wanted[path] for path in wanted)
        ]
        assert found
        for column, field in COLUMNS.items():
            printed = record.get(column)
            expected = float(printed) / (1 if column == "noise_count" else 100) if printed else None
            assert getattr(found, field) == (None if expected is None else pytest.approx(expected, abs=1e-9))


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
