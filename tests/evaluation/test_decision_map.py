import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal, truncnorm

from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.decision_map import cluster_centres, draw_clusters, grid_points, map_decisions, noise_points
from noisegate.spec import DecisionMapExperiment
from tests.learning.factories import Cancelled, Counter, nothing


@cache
def analysis(data_seed: int = 1, seed: int = 2, **changes: Any) -> Analysis:
    return map_decisions(DecisionMapExperiment(**changes), data_seed, seed, nothing)


def quick(data_seed: int, seed: int, **changes: Any) -> Analysis:
    return analysis(data_seed, seed, **({"epochs": 3, "points_per_cluster": 20} | changes))


def regions(of: Analysis) -> np.ndarray:
    """Characters by [y, x], each axis in steps of 0.01."""
    rows = of.details["regions"]
    assert isinstance(rows, list)
    return np.array([list(str(row)) for row in rows])


def points(of: Analysis, symbol: str) -> np.ndarray:
    drawn = of.details["points"]
    assert isinstance(drawn, list)
    return np.array([point[:2] for point in drawn if isinstance(point, list) and point[2] == symbol])


def measure(of: Analysis, name: str) -> float:
    value = of.measures[name]
    assert value is not None
    return value


def nearest(clusters: int) -> np.ndarray:
    """The name of the cluster nearest to each point of the grid, [y, x]."""
    along = np.arange(101) / 100
    distances = [np.hypot(along[np.newaxis] - x, along[:, np.newaxis] - y) for x, y in cluster_centres(clusters)]
    names: np.ndarray = np.array(list("ABCDEFGHIJ"))[np.argmin(distances, axis=0)]
    return names


def test_two_clusters_are_divided_by_their_perpendicular_bisector() -> None:
    decided = regions(analysis(clusters=2))
    assert cluster_centres(2) == pytest.approx(np.array([[0.5, 0.8], [0.5, 0.2]]))
    assert set(decided[60:].ravel()) == {"A"}
    assert set(decided[:40].ravel()) == {"B"}


def test_without_noise_the_whole_square_is_divided_among_the_clusters() -> None:
    without = analysis()
    assert without.details["classes"] == ["A", "B", "C", "D"]
    assert (regions(without) == nearest(4)).mean() > 0.93
    assert measure(without, "area_noise") == measure(without, "noise_share") == 0
    assert measure(without, "accuracy") > 0.99
    assert measure(without, "reject_score_far") < 0.2


def test_with_noise_each_class_keeps_an_island() -> None:
    with_noise = analysis(noise_quantity=1)
    decided = regions(with_noise)
    assert with_noise.details["classes"] == ["A", "B", "C", "D", "noise"]
    for name, (x, y) in zip("ABCD", cluster_centres(4), strict=True):
        island = decided == name
        assert decided[round(100 * y), round(100 * x)] == name
        assert 0.02 < island.mean() < 0.12
        far = np.hypot(grid_points()[:, 0] - x, grid_points()[:, 1] - y).reshape(101, 101) > 0.3
        assert not island[far].any()
    assert measure(with_noise, "reject_score_far") > 0.9


@pytest.mark.parametrize("quantity", [1, 3])
def test_with_noise_the_shares_are_near_those_of_the_best_possible_classifier(quantity: float) -> None:
    found = analysis(noise_quantity=quantity)
    density = best_cluster_density(grid_points())
    at_points = best_cluster_density(draw_clusters(np.random.default_rng(9), DecisionMapExperiment(), 5000).positions)
    # Noise points are spread with density 1, `quantity` times as many as each cluster's.
    assert measure(found, "area_noise") == pytest.approx((density < quantity).mean(), abs=0.05)
    assert measure(found, "noise_share") == pytest.approx((at_points < quantity).mean(), abs=0.03)
    assert measure(found, "accuracy") == pytest.approx((at_points >= quantity).mean(), abs=0.03)


def best_cluster_density(positions: np.ndarray) -> np.ndarray:
    densities = [multivariate_normal(centre, 0.05**2).pdf(positions) for centre in cluster_centres(4)]
    best: np.ndarray = np.max(densities, axis=0)
    return best


def test_accuracy_is_that_of_fresh_points_where_clusters_overlap() -> None:
    spec = DecisionMapExperiment(cluster_std=0.15)
    fresh = draw_clusters(np.random.default_rng(8), spec, 20_000)
    distances = np.linalg.norm(fresh.positions[:, np.newaxis] - cluster_centres(4), axis=2)
    best = (distances.argmin(axis=1) == fresh.labels).mean()
    assert 0.7 < best < 0.9
    assert measure(analysis(cluster_std=0.15), "accuracy") == pytest.approx(best, abs=0.03)


@pytest.mark.parametrize("changes", [{}, {"noise_quantity": 1}])
def test_areas_are_the_shares_of_the_regions(changes: dict[str, float]) -> None:
    found = analysis(**changes)
    decided = regions(found)
    assert decided.shape == (101, 101)
    areas = {name: area for name, area in found.measures.items() if name.startswith("area_")}
    counted = {f"area_{name}": (decided == name).mean() for name in "ABCD"} | {"area_noise": (decided == ".").mean()}
    assert areas == pytest.approx(counted)
    assert sum(area or 0 for area in areas.values()) == pytest.approx(1)


def test_nowhere_is_far_from_wide_clusters() -> None:
    assert quick(0, 0, cluster_std=0.5).measures["reject_score_far"] is None


def test_drawn_clusters_are_gaussians_cut_off_at_the_border() -> None:
    spec = DecisionMapExperiment(cluster_std=0.3, clusters=3)
    drawn = draw_clusters(np.random.default_rng(3), spec, 2000)
    assert drawn.labels.tolist() == [0] * 2000 + [1] * 2000 + [2] * 2000
    assert (drawn.positions.min(), drawn.positions.max()) == pytest.approx((0, 1), abs=0.01)
    for label, centre in enumerate(cluster_centres(3)):
        for axis in (0, 1):
            cut = truncnorm(-centre[axis] / 0.3, (1 - centre[axis]) / 0.3, centre[axis], 0.3)
            assert kstest(drawn.positions[drawn.labels == label, axis], cut.cdf).pvalue > 0.001


def test_noise_is_counted_in_units_of_a_cluster() -> None:
    quantities = {0: 0, 0.001: 1, 0.26: 5, 3: 60}
    for quantity, count in quantities.items():
        assert noise_points(DecisionMapExperiment(points_per_cluster=20, noise_quantity=quantity)) == count


def test_drawn_noise_covers_the_square() -> None:
    noise = points(quick(1, 2, noise_quantity=5, points_per_cluster=20), ".")
    assert noise.shape == (100, 2)
    assert kstest(noise[:, 0], "uniform").pvalue > 0.01
    assert kstest(noise[:, 1], "uniform").pvalue > 0.01


def test_at_most_a_hundred_points_a_class_are_drawn_on_the_right_side() -> None:
    found = analysis(noise_quantity=1)
    for name, centre in zip("ABCD", cluster_centres(4), strict=True):
        drawn = points(found, name)
        assert len(drawn) == 100
        assert drawn.mean(axis=0) == pytest.approx(centre, abs=0.02)
    assert len(points(found, ".")) == 100
    assert len(points(quick(1, 2), "A")) == 20


def test_the_same_seeds_give_the_same_bytes_and_others_do_not() -> None:
    spec = DecisionMapExperiment(epochs=3, points_per_cluster=20, noise_quantity=1)
    first, again, other = (content(map_decisions(spec, 1, seed, nothing)) for seed in (2, 2, 3))
    assert first == again
    assert first != other


def content(of: Analysis) -> str:
    return json.dumps([dict(of.measures), dict(of.details)], allow_nan=False)


def test_the_data_depend_on_their_own_seed_alone() -> None:
    first = quick(1, 2)
    assert quick(1, 3).details["points"] == first.details["points"]
    assert quick(4, 2).details["points"] != first.details["points"]
    assert (points(quick(1, 2, noise_quantity=1), "B") == points(first, "B")).all()


def test_other_numbers_of_clusters() -> None:
    found = quick(1, 2, clusters=10, noise_quantity=1)
    assert found.details["classes"] == [*"ABCDEFGHIJ", "noise"]
    assert len(found.measures) == 11 + 3


def test_it_stops_after_its_epochs_and_when_told() -> None:
    spec = DecisionMapExperiment(epochs=5, points_per_cluster=20)
    counter = Counter()
    map_decisions(spec, 0, 0, counter)
    assert counter.calls == 5
    stopping = Counter(stop_at=3)
    with pytest.raises(Cancelled):
        map_decisions(spec, 0, 0, stopping)
    assert stopping.calls == 3
