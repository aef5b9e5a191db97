"""The results of an experiment as text for people."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.result_answers import Estimate, ResultRow, ResultsAnswer
from noisegate.client.tables import number_columns, table_of

# Below this the difference stands under the table, as a sentence.
WIDE_COLUMNS = 110


def results_table(results: ResultsAnswer, columns: int) -> RenderableType:
    """The results table; in fewer than WIDE_COLUMNS columns the differences follow below it.

    A is the accuracy, Pc, Ps and Pg the mean probabilities of the paper's Table 1, N the test images taken for noise.
    What a kind of experiment measures besides has a table of its own.
    """
    rows = results.rows
    tables = [_table_1(results, columns)] if any(row.accuracy for row in rows) or not _measured(rows) else []
    tables += [_measures_table(results)] if _measured(rows) else []
    sentences = _sentences(rows) if columns < WIDE_COLUMNS else []
    failed = [f"{row.label}: {row.failed} executions failed" for row in rows if row.failed]
    notes = [
        *sentences,
        *_published_notes(results),
        *failed,
        *_weight_decays(rows),
        *_not_learnt(rows),
        *_default(results),
    ]
    return Group(*tables, *(Text(line) for line in notes))


def _table_1(results: ResultsAnswer, columns: int) -> Table:
    wide = columns >= WIDE_COLUMNS
    published = any(row.published for row in results.rows)
    table = table_of("cell", title=_title(results))
    number_columns(
        table, "A %", *(["paper's A %"] if published else []), "σ_A", "Pc %", "Ps %", "Pg %", "N/10,000", "n"
    )
    if wide:
        number_columns(table, f"A − baseline [{results.confidence_level:.0%}]", "p")
    for row in results.rows:
        cells = _result_cells(row)
        cells[2:2] = [_published_accuracy(row)] if published else []
        table.add_row(*cells, *(_difference_cells(row, results.baseline_cell) if wide else []))
    return table


def _measures_table(results: ResultsAnswer) -> Table:
    names = _measured(results.rows)
    table = table_of("cell", title=_title(results, what="mean ± standard error"))
    number_columns(table, *(name.replace("_", " ") for name in names), "n")
    for row in results.rows:
        shown = [_measure(row.measures.get(name)) for name in names]
        table.add_row(row.label, *shown, str(row.n))
    return table


def _measured(rows: Sequence[ResultRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.measures))


def _measure(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    error = estimate.standard_error
    return f"{estimate.mean:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _weight_decays(rows: Sequence[ResultRow]) -> Iterator[str]:
    """Those that cross-validation has chosen."""
    for row in rows:
        if found := row.regularisation:
            losses = {one.weight_decay: one.log_loss for one in found.candidates}
            loss = losses[found.weight_decay]
            told = "" if loss is None else f", log loss {loss:.3f}"
            yield (
                f"{row.label}: weight decay {found.weight_decay:g}, the best of {len(losses)} by cross-validation{told}"
            )


def _not_learnt(rows: Sequence[ResultRow]) -> Iterator[str]:
    """How many executions of each cell have not learnt, then each reason once, with how many it concerns and the remedy."""
    for row in rows:
        if not (concerned := row.not_learnt):
            continue
        verb = "has" if len(concerned) == 1 else "have"
        yield f"{row.label}: {len(concerned)} of {row.n} executions {verb} not learnt"
        found = [(one.execution, finding) for one in concerned for finding in one.findings]
        for code in dict.fromkeys(finding.code for _, finding in found):
            alike = [(number, finding) for number, finding in found if finding.code == code]
            number, first = alike[0]
            more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
            yield f"  execution {number}{more}: {first.detail}. {first.remedy}"


def _default(results: ResultsAnswer) -> Iterator[str]:
    if told := results.published:
        sentence = told.sentence[:1].upper() + told.sentence[1:]
        yield f"{sentence}. {told.remedy}" if told.remedy else f"{sentence}."


def _published_accuracy(row: ResultRow) -> str:
    published = row.published
    if published is None or published.accuracy is None:
        return "–"
    return f"{100 * published.accuracy:.2f}" + ("*" if published.note else "")


def _published_notes(results: ResultsAnswer) -> list[str]:
    rows = [row for row in results.rows if row.published]
    notes = [f"* {row.label}: {row.published.note}" for row in rows if row.published and row.published.note]
    return [*notes, results.preset.published_note] if rows and results.preset else notes


def _title(results: ResultsAnswer, what: str = "A ± standard error") -> str:
    experiment, dataset = results.experiment, results.dataset
    where = f" on {dataset.name}" if dataset else ""
    return f"{experiment.name or experiment.id}{where} ({experiment.state}); {what}"


def _result_cells(row: ResultRow) -> list[str]:
    return [
        row.label,
        _with_error(row.accuracy),
        _deviation(row.accuracy),
        _mean(row.confidence, 100),
        _mean(row.spuriousness, 100),
        _mean(row.true_class_probability, 100),
        _mean(row.noise_per_10000, 1),
        str(row.n),
    ]


def _difference_cells(row: ResultRow, baseline: int | None) -> list[str]:
    difference = row.difference
    if difference is None:
        return ["baseline" if row.cell == baseline else "–", ""]
    shown = f"{100 * difference.accuracy:+.2f}"
    low, high, p_value = difference.low, difference.high, difference.p_value
    if low is None or high is None or p_value is None:
        return [shown, "–"]
    return [f"{shown} [{100 * low:+.2f}, {100 * high:+.2f}]", "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"]


def _sentences(rows: Sequence[ResultRow]) -> list[str]:
    return [f"{row.label}: {row.difference.sentence}" for row in rows if row.difference]


def _with_error(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    mean, error = f"{100 * estimate.mean:.2f}", estimate.standard_error
    return mean if error is None else f"{mean} ± {100 * error:.2f}"


def _mean(estimate: Estimate | None, unit: float) -> str:
    return "–" if estimate is None else f"{unit * estimate.mean:.1f}"


def _deviation(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate.std is None else f"{100 * estimate.std:.2f}"
