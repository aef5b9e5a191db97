"""The cards of a plain model and of a `recommended` one, side by side: what each rejects, and how much it rejects wrongly.

    python benchmarks/cards.py --archive ../shared/cifar10.tar.xz --data-dir runs

What the data directory has already is not repeated. Exits with 1 when a target is missed. Keeps both cards in
benchmarks/results/cards.json, and prints the table of docs/scores.md.
"""

import math
import sys
from typing import Any

from cifar10_runs import DATASET, command_of, noisegate_with_cifar10, options, run_or_resume, side_by_side
from record import keep

from noisegate.api.decisions import CardAnswer
from noisegate.api.result_answers import ResultsAnswer
from noisegate.client import Noisegate

TARGET_AUROC = 0.99
# Within so many standard errors, of which a holdout of 5,000 and 10,000 test images each have theirs.
ERRORS = 2
BUDGETS = (0.01, 0.05, 0.10)
NOISES: dict[str, Any] = {"plain": None, "recommended": {"family": "structured", "quantity": 5}}


def main() -> int:
    asked = options(__doc__, epochs=12).parse_args()
    spec = side_by_side("no noise beside recommended", asked, NOISES)
    with noisegate_with_cifar10(asked) as (client, console):
        results = run_or_resume(client, console, spec)
        cards = _cards(client, results)
        held = round(0.1 * (client.datasets.get(DATASET)["train_count"] or 0))
    console.print("\n".join(_table(cards)))
    targets = _targets(cards, held)
    figures = {"command": command_of(asked), "cards": cards, "results": results, "targets": targets}
    console.print(f"Kept in {keep('cards', figures)}")
    missed = [name for name, reached in targets.items() if not reached]
    console.print(f"Missed: {', '.join(missed)}" if missed else "All targets reached.")
    return 1 if missed else 0


def _cards(client: Noisegate, results: ResultsAnswer) -> dict[str, CardAnswer]:
    best = [row["best_model"] or "" for row in results["rows"]]
    return {name: client.models.card(model)["card"] for name, model in zip(NOISES, best, strict=True)}


def _targets(cards: dict[str, CardAnswer], held: int) -> dict[str, bool]:
    noise = cards["recommended"]["untrained_noise"]
    plain = cards["plain"]["untrained_noise"]
    reached = {
        f"recommended: mean AUROC over untrained noise >= {TARGET_AUROC:.0%}": bool(
            noise and noise["auroc"] >= TARGET_AUROC
        ),
        "plain: far less": bool(noise and plain and plain["auroc"] < noise["auroc"] - 0.2),
    }
    for name, card in cards.items():
        for one in card["false_reject"]:
            budget = one["max_false_reject"]
            if budget not in BUDGETS:
                continue
            error = math.sqrt(budget * (1 - budget) * (1 / held + 1 / card["test_images"]))
            within = abs(one["rejected"] - budget) <= ERRORS * error
            reached[f"{name}: {budget:.0%} asked, {one['rejected']:.2%} rejected, within {ERRORS * error:.2%}"] = within
            if budget == 0.05:
                reached[f"{name}: 4 to 6 % rejected at 5 %"] = 0.04 <= one["rejected"] <= 0.06
    return reached


def _table(cards: dict[str, CardAnswer]) -> list[str]:
    """Markdown: a row a family, AUROC and share rejected of each model."""
    lines = ["| unknown images | " + " | ".join(cards) + " |", "|---|" + "---|" * len(cards)]
    for rows in zip(*(card["families"] for card in cards.values()), strict=True):
        shown = [
            f"{100 * (one['auroc'] or 0):.2f} ({100 * (one['rejected'] or 0):.1f} %)" + (" †" if one["trained"] else "")
            for one in rows
        ]
        lines.append(f"| {rows[0]['name']} | " + " | ".join(shown) + " |")
    means = [card["untrained_noise"] for card in cards.values()]
    lines.append(
        "| **mean over noise not trained on** | "
        + " | ".join(
            f"**{100 * mean['auroc']:.2f}** ({100 * mean['rejected']:.1f} %)" if mean else "–" for mean in means
        )
        + " |"
    )
    for measure, values in _known_rows(cards).items():
        lines.append(f"| {measure} | " + " | ".join(values) + " |")
    return lines


def _known_rows(cards: dict[str, CardAnswer]) -> dict[str, list[str]]:
    every = list(cards.values())
    rows = {
        "test accuracy": [f"{100 * card['accuracy']:.2f} %" for card in every],
        "calibration error, before → after": [_calibration(card) for card in every],
        "area under risk and coverage": [f"{card['risk_coverage']['aurc']:.4f}" for card in every],
    }
    for budget in BUDGETS:
        shares = [
            one["rejected"] for card in every for one in card["false_reject"] if one["max_false_reject"] == budget
        ]
        rows[f"test images rejected at {budget:.0%}"] = [f"{share:.2%}" for share in shares]
    return rows


def _calibration(card: CardAnswer) -> str:
    before, after = card["calibration_error"]["before"]["error"], card["calibration_error"]["after"]
    return f"{100 * before:.2f} % → {100 * after['error']:.2f} %" if after else f"{100 * before:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
