"""What a notebook shows of an answer. Every text of it is escaped; nothing is fetched."""

from collections.abc import Iterable, Sequence
from html import escape

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.decisions import DecisionAnswer, ModelCardAnswer
from noisegate.api.result_answers import Estimate, ResultsAnswer

_SHOWN_CLASSES = 5


def experiment(found: ExperimentAnswer) -> str:
    """State, progress and what was asked for."""
    counts = found.counts
    rows = [
        ("state", f"{found.state}, {found.progress:.0%}"),
        ("dataset", found.dataset.name if found.dataset else "–"),
        ("cells", f"{len(found.cells):,}"),
        ("executions", f"{counts.succeeded:,} of {found.executions:,} succeeded, {counts.failed:,} failed"),
        ("epochs", f"{found.epochs_done:,} of {found.epochs:,}"),
        ("created", f"{found.created_at:%Y-%m-%d %H:%M}"),
    ]
    rows += [("error", found.error.detail)] if found.error else []
    return _titled(f"{found.name or found.id} ({found.id})", _pairs(rows))


def results(found: ResultsAnswer) -> str:
    """A row a cell, with standard errors and n."""
    names = list(dict.fromkeys(name for row in found.rows for name in row.measures))
    measured = any(row.accuracy for row in found.rows)
    head = ["cell", *(["A %", "Pc %", "Ps %"] if measured else []), *(name.replace("_", " ") for name in names), "n"]
    rows = [
        [
            row.label,
            *([_percent(row.accuracy), _percent(row.confidence), _percent(row.spuriousness)] if measured else []),
            *(_number(row.measures.get(name)) for name in names),
            str(row.n),
        ]
        for row in found.rows
    ]
    title = f"{found.experiment.name or found.experiment.id} ({found.experiment.state}); mean ± standard error"
    return _titled(title, _table(head, rows))


def decision(found: DecisionAnswer) -> str:
    """The verdict, and the largest probabilities as bars."""
    verdict = f"rejected: {found.reason}; nearest {found.known_label}" if found.rejected else f"{found.label}"
    ranked = sorted(found.probabilities.items(), key=lambda entry: -entry[1])[:_SHOWN_CLASSES]
    noise = [] if found.noise_probability is None else [("noise", found.noise_probability)]
    bars = "".join(
        f"<tr><td>{escape(name)}</td><td>{_bar(share)}</td><td style='text-align:right'>{share:.1%}</td></tr>"
        for name, share in [*ranked, *noise]
    )
    threshold = "no threshold" if found.threshold is None else f"threshold {found.threshold:.3f}"
    line = f"<p>reject score {found.reject_score:.3f}, {threshold}; model {escape(found.model.id)}</p>"
    return _titled(verdict, f"<table>{bars}</table>{line}")


def card(found: ModelCardAnswer) -> str:
    """What decides whether to use a model, and what it makes of unknown images."""
    measured = found.card
    rows = [
        ("accuracy", f"{measured.accuracy:.2%} of {measured.test_images:,} test images"),
        ("calibration error", f"{measured.calibration_error.before.error:.2%}"),
        ("area under risk and coverage", f"{measured.risk_coverage.aurc:.4f}"),
    ]
    rows += [
        (f"rejected at {one.max_false_reject:.0%}", f"{one.rejected:.2%} ({one.low:.2%} to {one.high:.2%})")
        for one in measured.false_reject
    ]
    rows += [("has not learnt", finding.detail) for finding in found.findings]
    families = [
        [one.name, "yes" if one.trained else "", _share(one.auroc), _share(one.rejected)] for one in measured.families
    ]
    unknown = _table(["unknown images", "trained on", "AUROC", "rejected"], families)
    return _titled(" ".join([found.model.id, *found.model.aliases]), _pairs(rows) + unknown)


def _titled(title: str, body: str) -> str:
    return f"<div><strong>{escape(title)}</strong>{body}</div>"


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows
    )
    return f"<table>{cells}</table>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first, *others = head
    heading = f"<th style='text-align:left'>{escape(first)}</th>" + "".join(f"<th>{escape(one)}</th>" for one in others)
    lines = "".join(
        f"<tr><td style='text-align:left'>{escape(row[0])}</td>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{lines}</tbody></table>"


def _bar(share: float) -> str:
    return f"<div style='background:#4878cf;height:0.8em;width:{round(160 * share)}px'></div>"


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    error = estimate.standard_error
    return f"{100 * estimate.mean:.2f}" + ("" if error is None else f" ± {100 * error:.2f}")


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    error = estimate.standard_error
    return f"{estimate.mean:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
