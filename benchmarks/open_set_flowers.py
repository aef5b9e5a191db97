"""Open set on photographs of flowers: trained on three of five classes, tested on the other two, and on what is no flower.

    python benchmarks/open_set_flowers.py --archive flowers.tar --cifar10 cifar10.tar.xz --features FOLDER [--tuned 2]

All ten choices of three classes, 150 photographs a class to train on and 150 others to test on, drawn anew for each choice
(n = 10; choices share photographs). Recipe linear on tf_efficientnet_lite0 at 224 px, everything at its defaults,
cross-validated. A noise class has as many images of each kind as a class. --tuned of the choices are fine-tuned as well, at
128 px, the size of the files, with a holdout of a tenth, which that recipe needs; beside it stands linear on the same images,
held out alike. Every figure is by the library's own recipes, scores, thresholds and AUROC.

The exposed flowers are of one of the two other classes, and the tested ones of the other: both ways round, so each choice has two
cells. Beside it `near` of the other arms is that of both classes, whose mean is the same comparison.
"""

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from open_set_images import CHOICES, NOISE, TRAINED, Shown, far_images, features, photographs, split_of
from record import keep

from noisegate.evaluation.curves import auroc
from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.references import make_reference
from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, level_of
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.rejection.reference import Reference, compute_scores
from noisegate.rejection.rule import apply_rule, reject_scores
from noisegate.rejection.scores import softmax
from noisegate.spec import TrainingExperiment

_SIZE_TUNED = 128  # that of the photographs as they came: a third of the time
_FAR_TUNED = 100
_PLACEHOLDER = 32  # pixels a side of images that only stand for their features


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        noise: what fills the noise class, of `structured`, `exposure` (CIFAR-10) and `flowers` (one of the other classes).
        kinds: of features, side by side.
        flips: whether mirror images are trained on, too.
    """

    noise: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("final",)
    flips: bool = False


ARMS = {
    "no noise class": Arm(),
    "structured noise": Arm(("structured",)),
    "structured noise, flips": Arm(("structured",), flips=True),
    "structured noise, layer blocks.5": Arm(("structured",), ("blocks.5",)),
    "structured noise, layers blocks.3, blocks.5 and last": Arm(("structured",), ("blocks.3", "blocks.5", "final")),
    "CIFAR-10": Arm(("exposure",)),
    "structured noise and CIFAR-10": Arm(("structured", "exposure")),
    "another flower": Arm(("flowers",)),
    "structured noise and another flower": Arm(("structured", "flowers")),
}
Figures = dict[str, dict[str, tuple[float, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of <class>/*")
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--features", type=Path, required=True, help="folder, filled if it is empty")
    parser.add_argument("--tuned", type=int, default=2, help="how many of the choices are fine-tuned")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shown = features(asked.archive, asked.cifar10, asked.features)
    tables: dict[str, Any] = {}
    for name, arm in ARMS.items():
        started = time.process_time()
        tables[name] = _summary([_mean(_measured(shown, arm, choice)) for choice in range(len(CHOICES))])
        print(f"{name}: {time.process_time() - started:.0f} s", _words(tables[name]), sep="\n  ", flush=True)
    if asked.tuned:
        tuned = range(0, len(CHOICES), len(CHOICES) // asked.tuned)[: asked.tuned]
        for recipe, found in _tuned(asked.archive, asked.cifar10, tuned).items():
            tables[f"{recipe} at {_SIZE_TUNED} px"] = _summary([_mean(iter([one])) for one in found])
            print(recipe, _words(tables[f"{recipe} at {_SIZE_TUNED} px"]), sep="\n  ")
    print(f"Kept in {keep('open_set_flowers', {'trained_a_class': TRAINED, 'tuned': asked.tuned, 'arms': tables})}")


def _measured(shown: Shown, arm: Arm, choice: int) -> Iterator[Figures]:
    """One cell; with other flowers as noise two, so that each is exposed once and tested once."""
    others = split_of(choice).others
    for exposed in others if "flowers" in arm.noise else (None,):
        cell = _cell(shown, arm, choice, exposed)
        outcome = _run(cell)
        groups = {
            name: np.concatenate([shown.far[kind][name] for kind in arm.kinds], axis=1) for name in shown.far["final"]
        }
        del groups["exposure"]
        split = split_of(choice)
        for one in others:
            if one != exposed:
                groups[f"near {one}"] = _flowers(shown, arm, [one], split.test)
        yield _figures(cell, outcome, {name: _answers(outcome, rows) for name, rows in groups.items()})


def _cell(shown: Shown, arm: Arm, choice: int, exposed: int | None) -> PreparedCell:
    """As a worker prepares it; features and noise were computed before, and pixels only stand for themselves."""
    split, count = split_of(choice), TRAINED * len(split_of(choice).known)
    noise = [_noise(shown, arm, source, choice, exposed) for source in arm.noise]
    rows = itertools.cycle(np.concatenate(noise)) if noise else itertools.cycle(())
    encoder = cast(Encoder, lambda images, _: np.stack([next(rows) for _ in images]))
    train, test = (_flowers(shown, arm, split.known, part) for part in (split.train, split.test))
    labels = np.repeat(np.arange(len(split.known)), TRAINED)
    pixels = np.zeros((count, _PLACEHOLDER, _PLACEHOLDER, 3), dtype=np.uint8)
    data = CellData(
        tuple(map(str, split.known)), pixels, labels, pixels[:0], labels, "", CellFeatures(train, test, encoder)
    )
    quantity = {"noise": {"family": "uniform", "quantity": len(noise)}} if noise else {}
    cell = prepare_cell(
        _spec({"calibration": "cross_validated", "image_size": _PLACEHOLDER, **quantity}, choice), data, 0
    )
    return (
        _with_flips(cell, _flowers(shown, replace(arm, kinds=("mirrored",)), split.known, split.train))
        if arm.flips
        else cell
    )


def _noise(shown: Shown, arm: Arm, source: str, choice: int, exposed: int | None) -> np.ndarray:
    if source == "flowers":
        assert exposed is not None
        return _flowers(shown, arm, [exposed], split_of(choice).train)
    if source == "structured":
        return np.concatenate([shown.structured[kind][choice] for kind in arm.kinds], axis=1)
    return np.concatenate([shown.far[kind][source] for kind in arm.kinds], axis=1)


def _flowers(shown: Shown, arm: Arm, classes: Sequence[int], places: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.concatenate([shown.flowers[kind][one][places[one]] for kind in arm.kinds], axis=1) for one in classes]
    )


def _with_flips(cell: PreparedCell, mirrored: np.ndarray) -> PreparedCell:
    """Each training image twice, both in one fold; the weight decay is the one that was chosen without them."""
    assert cell.folds is not None
    known = cell.known_images
    inputs, labels, folds = (
        np.concatenate([values[:known], again, values[known:]])
        for values, again in (
            (cell.inputs, mirrored),
            (cell.labels, cell.labels[:known]),
            (cell.folds, cell.folds[:known]),
        )
    )
    return replace(cell, inputs=inputs, labels=labels, folds=folds, known_images=2 * known)


def _spec(changes: dict[str, Any], choice: int) -> TrainingExperiment:
    return TrainingExperiment.model_validate(
        {"dataset": "flowers", "network": {"backbone": "tf_efficientnet_lite0"}, "seed": choice, **changes}
    )


def _run(cell: PreparedCell) -> ExecutionOutcome:
    ((outcome,),) = run_executions(cell, [cell.spec.seed], between_batches=lambda: None, on_epoch=lambda _: None)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def _tuned(archive: Path, cifar10: Path, choices: Sequence[int]) -> dict[str, list[Figures]]:
    """The recipes linear and fine_tune with structured noise, on the same images of the same choices."""
    flowers = photographs(archive, _SIZE_TUNED)
    far = {name: images[:_FAR_TUNED] for name, images in far_images(flowers, cifar10).items() if name != "exposure"}
    loaded = load(backbone_of(EMBEDDED), None, None)
    assert loaded.backbone.cut is not None
    stages = {"linear": None, "fine_tune": loaded.backbone.cut.upto}
    encoders = {recipe: make_encoder(loaded, _SIZE_TUNED, upto) for recipe, upto in stages.items()}
    return {
        recipe: [_of_pixels(flowers, far, encoder, recipe, choice) for choice in choices]
        for recipe, encoder in encoders.items()
    }


def _of_pixels(flowers: np.ndarray, far: dict[str, Any], encoder: Encoder, recipe: str, choice: int) -> Figures:
    started, split = time.process_time(), split_of(choice)
    train, test = (
        np.concatenate([flowers[one][part[one]] for one in split.known]) for part in (split.train, split.test)
    )
    labels = np.repeat(np.arange(len(split.known)), TRAINED)
    mirrored = encoder.mirrored(train) if recipe == "fine_tune" else None
    computed = CellFeatures(encoder(train), encoder(test), encoder, mirrored)
    data = CellData(tuple(map(str, split.known)), train, labels, test, labels, "", computed)
    noise = {"family": "structured", "quantity": 1}
    spec = _spec({"training": {"recipe": recipe}, "image_size": _SIZE_TUNED, "noise": noise}, choice)
    cell = prepare_cell(spec, data, 0)
    outcome = _run(cell)
    tried = far | {f"near {one}": flowers[one][split.test[one]] for one in split.others}
    found = _figures(cell, outcome, {name: _answers(outcome, images) for name, images in tried.items()})
    print(f"{recipe}, choice {choice}: {time.process_time() - started:.0f} s", flush=True)
    return found


def _answers(outcome: ExecutionOutcome, inputs: np.ndarray) -> Answers:
    return Answers(*answer(outcome.trained, inputs))


def _figures(cell: PreparedCell, outcome: ExecutionOutcome, unknown: dict[str, Answers]) -> Figures:
    """AUROC and share rejected at the default budget, by group and score."""
    reference, calibration = make_reference(cell, outcome), outcome.calibration
    assert reference is not None
    assert calibration is not None
    level = level_of(DEFAULT_MAX_FALSE_REJECT, reference.levels)
    bounds = {name: float(reference.quantiles[name][level]) for name in reference.scorers}
    tested = _scores(cell, reference, outcome.test_answers)
    scored = {name: _scores(cell, reference, answers) for name, answers in unknown.items()} | {"known": tested}
    answers = unknown | {"known": outcome.test_answers}
    threshold, found = calibration.threshold(DEFAULT_MAX_FALSE_REJECT), dict[str, dict[str, tuple[float, float]]]()
    for group, scores in scored.items():
        rejected = {name: float((scores[name] > bound).mean()) for name, bound in bounds.items()}
        verdicts = apply_rule(softmax(answers[group].logits), len(cell.classes), threshold)
        rejected["reject_score"] = float(verdicts.rejected.mean())
        found[group] = {name: (auroc(tested[name], values), rejected[name]) for name, values in scores.items()}
    found["accuracy"] = {"accuracy": (outcome.metrics.accuracy, 0.0)}
    return found


def _scores(cell: PreparedCell, reference: Reference, answers: Answers) -> dict[str, np.ndarray]:
    """The reject score and all others, turned so that higher means more unknown."""
    known = len(cell.classes)
    columns = compute_scores(answers.logits[:, :known], answers.features, reference)
    others = {name: reference.scorers[name].unknownness(values) for name, values in columns.items()}
    return {"reject_score": reject_scores(softmax(answers.logits), known), **others}


def _mean(cells: Iterator[Figures]) -> Figures:
    """Of the cells of one choice; `near` is the mean over its unknown classes, `noise` that over families."""
    found: Figures = {}
    several = list(cells)
    for name in dict.fromkeys(name for one in several for name in one):
        target = "near" if name.startswith("near") else name
        members = [
            one[other]
            for one in several
            for other in one
            if (other == name or (target == "near" and other.startswith("near")))
        ]
        found[target] = _averaged(members)
    found["noise"] = _averaged([found[name] for name in NOISE])
    return found


def _averaged(several: Sequence[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    return {
        score: (float(np.mean([one[score][0] for one in several])), float(np.mean([one[score][1] for one in several])))
        for score in several[0]
    }


def _summary(choices: Sequence[Figures]) -> dict[str, Any]:
    """Mean and standard deviation over choices, in percent."""
    return {
        group: {
            score: {
                what: {
                    "mean": round(float(np.mean(values)), 2),
                    "std": round(float(np.std(values, ddof=1)), 2),
                    "n": len(values),
                }
                for what, values in (
                    ("auroc", [100 * one[group][score][0] for one in choices]),
                    ("rejected", [100 * one[group][score][1] for one in choices]),
                )
            }
            for score in choices[0][group]
        }
        for group in choices[0]
    }


def _words(table: dict[str, Any]) -> str:
    lines = [f"accuracy {table['accuracy']['accuracy']['auroc']['mean']}"]
    for group in ("known", "near", "cifar10", "digits", "noise", "inverted"):
        each = (f"{score} {of['auroc']['mean']} ({of['rejected']['mean']} %)" for score, of in table[group].items())
        lines.append(f"{group}: {', '.join(each)}")
    return "\n  ".join(lines)


if __name__ == "__main__":
    main()
