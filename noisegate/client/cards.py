"""A model's card as text for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.decisions import CardAnswer, Family, ModelCardAnswer

_GROUPS = {"noise": "noise", "images": "other pictures", "natural_structure": "natural structure"}


def card_block(found: ModelCardAnswer) -> RenderableType:
    """The numbers that decide whether to use a model, and what it makes of images that it should not know."""
    card, model = found.card, found.model
    title = Text(f"{model.id}  {' '.join(model.aliases)}", style="bold")
    warnings = (f"  has not learnt: {one.detail}. {one.remedy}" for one in found.findings)
    lines = [f"  {line}" for line in (*_lines(card), *(found.data.messages if found.data else []))]
    return Group(
        title, *(Text(line, style="bold red") for line in warnings), *map(Text, lines), _families(card.families)
    )


def _lines(card: CardAnswer) -> list[str]:
    before, after = card.calibration_error.before, card.calibration_error.after
    scaled = f", {after.error:.2%} after temperature scaling" if after else ""
    lines = [
        f"accuracy {card.accuracy:.2%} on {card.test_images:,} test images; calibration error {before.error:.2%}{scaled}",
        f"area under risk and coverage {card.risk_coverage.aurc:.4f}",
    ]
    lines += [
        f"at most {100 * one.max_false_reject:.3g}% to be rejected: {one.rejected:.2%} of the test images "
        f"({one.low:.2%} to {one.high:.2%})"
        for one in card.false_reject
    ] or ["no threshold, as it was trained without a holdout: it rejects only what it calls noise"]
    if (noise := card.untrained_noise) is not None:
        families = len(noise.families)
        lines.append(f"AUROC {noise.auroc:.2%} on average over {families} families of noise it was not trained on")
    return lines


def _families(families: list[Family]) -> Table:
    table = Table("unknown images", "group", "trained on", box=None, title_justify="left", pad_edge=False)
    for heading in ("AUROC", "rejected", "as noise"):
        table.add_column(heading, justify="right")
    for one in families:
        shares = (_percent(one.auroc), _percent(one.rejected), _percent(one.rejected_as_noise))
        table.add_row(one.name, _GROUPS[one.group], "yes" if one.trained else "", *shares)
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
