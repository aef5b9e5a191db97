"""What tests cost: `pytest -p tests.cost` ends with the dearest ones, by processor time and by the clock.

Processor time is that of the test, its fixtures' set-up included, and of every process that it started and that has ended. A
machine that is busy does not change it much; the clock it does.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator

import pytest

_SHOWN = 60
_COST = "cost"
_MEASURE = pytest.StashKey[Callable[[], tuple[float, float]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure one test from its set-up to its teardown."""
    cpu, clock = _cpu_seconds(), time.perf_counter()

    def measure() -> tuple[float, float]:
        return _cpu_seconds() - cpu, time.perf_counter() - clock

    item.stash[_MEASURE] = measure
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send what it has cost so far along with each report: the last one, of the teardown, holds all."""
    report = yield
    if report.when == "teardown":
        report.user_properties.append((_COST, item.stash[_MEASURE]()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The dearest tests, and the dearest files."""
    costs = [
        (*value, report.nodeid)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == _COST
    ]
    by_file: Counter[str] = Counter()
    for cpu, _, test in costs:
        by_file[test.partition("::")[0]] += cpu
    terminalreporter.section(f"cost: {sum(cost[0] for cost in costs):.0f} s of processor time in {len(costs)} tests")
    for cpu, clock, test in sorted(costs, reverse=True)[:_SHOWN]:
        terminalreporter.line(f"{cpu:7.1f} s  {clock:7.1f} s by the clock  {test}")
    for file, cpu in by_file.most_common(_SHOWN):
        terminalreporter.line(f"{cpu:7.1f} s  {file}")


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
