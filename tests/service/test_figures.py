"""Figures of fabricated results: the marks of the drawings are compared with the numbers."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from noisegate.presets import catalogue as presets
from noisegate.spec import parse_spec
from noisegate.store.states import State
from service.results.figures.catalogue import draw, figures_of
from service.results.schemas import Results
from tests.service.fabricated_results import details_of, of_preset, of_spec, standard_error

SUBGROUP = {"correct": "lc", "wrong": "ls", "fraction": 0.25}


def figure_of(results: Results, name: str | None = None) -> Figure:
    return draw(name or next(iter(figures_of(results))), results, details_of(results))


def words_in(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]


def marks_in(axes: Axes) -> list[ErrorbarContainer]:
    return [container for container in axes.containers if isinstance(container, ErrorbarContainer)]


def points(marks: ErrorbarContainer) -> np.ndarray[Any, Any]:
    """x and y of each mark."""
    return np.asarray(marks.lines[0].get_xydata())


def error_bars(marks: ErrorbarContainer) -> list[list[list[float]]]:
    """From where to where each error bar reaches."""
    return [segment.tolist() for segment in marks.lines[2][0].get_segments()] if marks.lines[2] else []


def is_filled(marks: ErrorbarContainer) -> bool:
    return marks.lines[0].get_markerfacecolor() != "white"


def test_the_marks_and_error_bars_of_figure_9_are_the_numbers() -> None:
    results = of_preset("figure-9")
    (axes,) = figure_of(results).axes
    ours, published = marks_in(axes)
    assert is_filled(ours)
    assert not is_filled(published)
    expected = [row.accuracy for row in results.rows[1:] if row.accuracy]
    stds = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 150]
    assert points(ours) == pytest.approx(
        np.array([[std, 100 * one.mean] for std, one in zip(stds, expected, strict=True)])
    )
    for (low, high), one in zip(error_bars(ours), expected, strict=True):
        reach = 100 * standard_error(one)
        assert (low[1], high[1]) == pytest.approx((100 * one.mean - reach, 100 * one.mean + reach))
    # Printed for std 70: 74.97 ± 0.51, n = 50.
    assert points(published)[6] == pytest.approx([70, 74.97])
    assert np.ravel(error_bars(published)[6]) == pytest.approx([70, 74.97 - 0.51 / 50**0.5, 70, 74.97 + 0.51 / 50**0.5])


def test_figure_11_has_a_log_axis_and_no_noise_as_a_band() -> None:
    results = of_preset("figure-11")
    figure = figure_of(results)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3", "4", "5", "10", "20", "50", "100"]
    quantities = np.array([1, 2, 3, 4, 5, 10, 20, 50, 100])
    assert len(marks_in(axes)) == 4
    for marks in marks_in(axes):
        assert points(marks)[:, 0] / quantities == pytest.approx(1, abs=0.02)
    baseline = results.rows[0].accuracy
    assert baseline
    measured_band, published_band = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    reach = 100 * standard_error(baseline)
    assert (measured_band.get_y(), measured_band.get_height()) == pytest.approx(
        (100 * baseline.mean - reach, 2 * reach)
    )
    assert published_band.get_y() == pytest.approx(74.67 - 0.46 / 50**0.5)
    assert {"uniform: measured (n = 3)", "gaussian: published (CIFAR-10, n = 50)"} <= set(words_in(figure))
    assert {"no noise class: measured (n = 3)", "error bars and bands: ± 1 standard error"} <= set(words_in(figure))


def test_figure_12_has_accuracy_and_counts_and_both_filters_begin_at_size_1() -> None:
    accuracy, counts = figure_of(of_preset("figure-12")).axes
    assert (accuracy.get_ylabel(), counts.get_ylabel()) == ("test accuracy (%)", "test images called noise per 10,000")
    published = [marks for marks in marks_in(counts) if not is_filled(marks)]
    assert [points(marks)[:, 1].tolist() for marks in published] == [
        pytest.approx(line)
        for line in (
            [0.06, 0.54, 1.52, 1.6],
            [0.06, 0.52, 2.1, 2.54],
            [0.08, 0.84, 1.44, 1.48],
            [0.08, 0.48, 2.1, 2.7],
        )
    ]
    looks = [(marks.lines[0].get_color(), marks.lines[0].get_marker()) for marks in marks_in(accuracy)[::2]]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 4


def test_table_2_is_in_the_order_of_the_paper_and_has_no_counts() -> None:
    figure = figure_of(of_preset("table-2"))
    assert [axes.get_title() for axes in figure.axes] == ["A", "σ of A", "Pc", "Ps", "Pg"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[:6] == ["all training images", *(f"{name} *" for name in ("lc ∪ ls  .25", "lc ∪ hs  .25", "hc ∪ ls  .25")),
                          "hc ∪ hs  .25", "lc ∪ ls  .50 *"]  # fmt: skip
    printed = points(marks_in(figure.axes[0])[-1])[:, 0].tolist()
    assert printed[:9] == pytest.approx([74.67, 27.12, 19.26, 53.61, 51.49, 52.16, 41.07, 65.78, 60.48])
    # Each published mark lies in its own row, below the measured one.
    ours, published = (points(marks)[:, 1] for marks in marks_in(figure.axes[0]))
    assert (ours < published).all()
    assert published.round().tolist() == list(range(17))
    assert any("likely a misprint: the authors' spreadsheet has 64.48" in line for line in words_in(figure))


def test_table_3_has_counts() -> None:
    last = figure_of(of_preset("table-3")).axes[-1]
    assert last.get_title() == "N"
    assert points(marks_in(last)[-1])[1:4, 0].tolist() == pytest.approx([2.1, 1.08, 5.36])


def test_controls_and_selections_are_series_of_their_subgroup() -> None:
    kinds = [{}, {"selection": "as_published"}, {"control": "random"}, {"control": "stratified"}]
    spec = {"dataset": "d", "sweep": {"subgroup": [None, *(SUBGROUP | kind for kind in kinds)]}}
    figure = figure_of(of_spec(parse_spec(spec)), "metrics")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["all training images", "lc ∪ ls  .25"]
    expected = ["selection by definition", "selection as published", "random control", "stratified control"]
    assert {f"{name}: measured (n = 3)" for name in expected} <= set(words_in(figure))
    rows = [points(marks)[0, 1] for marks in marks_in(figure.axes[0])[1:]]
    assert all(0.5 < row < 1.5 for row in rows)
    assert len(set(rows)) == 4


def test_while_running_what_has_no_result_is_left_out() -> None:
    figure = figure_of(of_preset("figure-9", n=1, done_cells=5, state=State.RUNNING))
    ours, published = marks_in(figure.axes[0])
    assert points(ours)[:, 0].tolist() == [10, 20, 30, 40]
    assert error_bars(ours) == []
    assert len(points(published)) == 11
    assert "measured (n = 1)" in words_in(figure)
    assert any("running: 5 of 12 executions" in line for line in words_in(figure))


@pytest.mark.parametrize("name", presets.names())
def test_before_the_first_result_there_are_published_values_and_a_note(name: str) -> None:
    results = of_preset(name, n=0, state=State.QUEUED)
    figure = figure_of(results)
    assert any("no execution has finished yet" in line for line in words_in(figure))
    assert not any(is_filled(marks) for axes in figure.axes for marks in marks_in(axes))
    assert not any("measured (" in line for line in words_in(figure))
    assert any("published (CIFAR-10" in line for line in words_in(figure)) == any(row.published for row in results.rows)


def test_figure_5_draws_every_execution() -> None:
    results = of_preset("figure-5", n=4)
    middle, ends = figure_of(results).axes
    details = details_of(results)
    for axes, cell in ((middle, 0), (ends, 1)):
        *fitted, true = axes.lines
        assert np.array([line.get_ydata() for line in fitted]) == pytest.approx(
            np.array([one["curve"] for one in details[cell]])
        )
        assert true.get_xydata() == pytest.approx(np.array([[0, 0], [0.5, 0], [0.5, 1], [1, 1]]))
    assert [(patch.get_x(), patch.get_width()) for patch in ends.patches if isinstance(patch, Rectangle)] == [
        pytest.approx((0, 0.1)),
        pytest.approx((0.9, 0.1)),
    ]
    crossing = results.rows[0].measures["crossing"]
    assert f"crosses 0.5 at {crossing.mean:.4f} ± {crossing.std:.4f} (std), n = 4" in middle.get_title()


def test_figure_6_stacks_what_hybrids_are_taken_for() -> None:
    results = of_preset("figure-6")
    figure = figure_of(results)
    bars = [one.patches[0] for one in figure.axes[0].containers if isinstance(one, BarContainer)]
    names = ["accepted_as_low", "accepted_as_high", "accepted_as_other", "rejected"]
    expected = [100 * row.measures[name].mean for row in results.rows for name in names]
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)
    assert [bar.get_x() + bar.get_width() for bar in bars[3::4]] == pytest.approx([100, 100, 100])
    # The first part with its error, the last, narrower one without.
    low = results.rows[1].measures["accepted_as_low"]
    assert {f"{100 * low.mean:.1f} ± {100 * standard_error(low):.1f}", f"{expected[7]:.0f}"} <= set(words_in(figure))


def test_figure_13_leaves_noise_white() -> None:
    results = of_preset("figure-13")
    _, noisy = figure_of(results).axes
    regions = np.array([list(line) for line in details_of(results)[1][0]["regions"]])
    assert np.array_equal((np.asarray(noisy.images[0].get_array()) == 1).all(axis=-1), regions == ".")
    assert noisy.images[0].origin == "lower"
    assert f"noise\u00a0{100 * results.rows[1].measures['area_noise'].mean:.1f}" in noisy.get_xlabel()


def test_a_sweep_of_one_number_is_a_curve() -> None:
    sweep = {"training.learning_rate": [0.0001, 0.001, 0.01], "noise": [None, {"family": "uniform", "quantity": 5}]}
    figure = figure_of(of_spec(parse_spec({"dataset": "d", "noise": {"family": "gray"}, "sweep": sweep})), "accuracy")
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("training.learning_rate", "log")
    assert [len(points(marks)) for marks in marks_in(axes)] == [3, 3]
    baseline = "baseline, training.learning_rate=0.0001, no noise: measured (n = 3)"
    assert {"no noise: measured (n = 3)", "uniform 5×: measured (n = 3)"} <= set(words_in(figure))
    assert baseline.split(",")[0] in " ".join(words_in(figure))


def test_a_sweep_of_anything_else_is_a_row_a_cell() -> None:
    sweep = {"noise": [None, {"family": "gray"}, {"family": "structured", "quantity": 5}]}
    results = of_spec(parse_spec({"dataset": "d", "sweep": sweep}))
    (axes,) = figure_of(results, "accuracy").axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["no noise", "gray 1×", "structured 5×"]
    (marks,) = marks_in(axes)
    assert points(marks)[:, 0] == pytest.approx([100 * row.accuracy.mean for row in results.rows if row.accuracy])
    assert axes.get_xlabel() == "test accuracy (%)"


def test_a_preset_with_another_sweep_still_has_a_figure() -> None:
    spec = parse_spec({"dataset": "d", "sweep": {"training.epochs": [5, 10]}})
    preset = of_preset("figure-9").preset
    (axes,) = figure_of(of_spec(spec).model_copy(update={"preset": preset}), "figure-9").axes
    assert axes.get_xlabel() == "training.epochs"
    assert points(marks_in(axes)[0])[:, 0].tolist() == [5, 10]


def test_cells_of_different_size_say_so() -> None:
    results = of_preset("figure-10")
    rows = [results.rows[0], *of_preset("figure-10", n=5).rows[1:]]
    words = words_in(figure_of(results.model_copy(update={"rows": rows})))
    assert {"measured (n = 5)", "no noise class: measured (n = 3)"} <= set(words)
    assert any("n = 3–5 a cell" in line for line in words)
