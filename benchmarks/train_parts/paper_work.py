"""How much training the whole paper is: every preset at scale `paper`, on CIFAR-10."""

from noisegate.learning.subgroups import subgroup_size
from noisegate.presets import catalogue
from noisegate.spec import ClassifierExperiment, SubgroupSpec
from noisegate.spec.sweeps import cells_of

IMAGES, CLASSES = 50_000, 10
# What the authors' base execution says of the training images (PAPER.md, Table 2).
CORRECT, WRONG = 40_684, 9_316


def steps_by_preset() -> dict[str, int]:
    """Execution-steps (one network's updates) of each preset that trains classifiers, bases of subgroups included."""
    found = {name: _steps_of_preset(name) for name in catalogue.names()}
    return {name: steps for name, steps in found.items() if steps}


def _steps_of_preset(name: str) -> int:
    spec = catalogue.get(name).spec_at("paper")
    if not isinstance(spec, ClassifierExperiment):
        return 0
    cells = [cell.spec for cell in cells_of(spec)]
    classifiers = [cell for cell in cells if isinstance(cell, ClassifierExperiment)]
    steps = sum(cell.executions * _steps_of_execution(cell) for cell in classifiers)
    if any(cell.subgroup for cell in classifiers):  # the base: once an experiment, without noise, on all images
        steps += spec.training.epochs * spec.training.updates_per_epoch(IMAGES)
    return steps


def _steps_of_execution(cell: ClassifierExperiment) -> int:
    kept = IMAGES - round(cell.holdout * IMAGES)
    if isinstance(cell.subgroup, SubgroupSpec):
        share = kept / IMAGES
        kept = subgroup_size(cell.subgroup, correct=round(CORRECT * share), wrong=round(WRONG * share))
    noise = 0 if cell.training.equal_updates else cell.count_noise_images(IMAGES / CLASSES)
    return cell.training.epochs * cell.training.updates_per_epoch(kept + noise)
