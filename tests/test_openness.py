"""What the code's own text shows: kinds of experiment are told apart in their own rooms alone, and imports stand on top."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisegate.spec import KINDS, ExperimentBase

ROOT = Path(__file__).parents[1]
KIND_ROOMS = ("noisegate/spec/", "worker/kinds/", "service/results/figures/")
# Optional extras, imported where they are asked for.
EXTRAS = {
    "noisegate/tracing.py": {"opentelemetry"},
    "noisegate/inference/fast_jpeg.py": {"simplejpeg"},
    "noisegate/inference/runtimes.py": {"openvino"},
    "noisegate/client/answers.py": {"PIL", "noisegate.client.frames"},
    "noisegate/client/fronts.py": {"noisegate.client.frames"},
    "noisegate/client/images.py": {"PIL"},
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ("noisegate", "service", "worker", "migrations"):
        for file in sorted((ROOT / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


def kind_classes(base: type[ExperimentBase] = ExperimentBase) -> set[str]:
    """Of every kind, and of what several have in common, but for the base of all; without those that tests make up."""
    ours = [kind for kind in base.__subclasses__() if kind.__module__.startswith("noisegate.")]
    return {name for kind in ours for name in {kind.__name__, *kind_classes(kind)}}


def names_in(node: ast.AST) -> set[str]:
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names | {part.attr for part in parts if isinstance(part, ast.Attribute)}


def strings_in(node: ast.AST) -> set[object]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}


def asks_for_a_kind(node: ast.AST) -> bool:
    """isinstance(spec, HybridsExperiment), case HybridsExperiment(), type(spec) is …, spec.kind == "hybrids", and the like."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, classes]):
            return bool(names_in(classes) & kind_classes())
        case ast.MatchClass(cls=cls):
            return bool(names_in(cls) & kind_classes())
        case ast.Compare():
            return bool(names_in(node) & kind_classes()) or ("kind" in names_in(node) and _names_a_kind(node))
        case ast.Match(subject=subject):
            return "kind" in names_in(subject) and any(_names_a_kind(case.pattern) for case in node.cases)
    return False


def _names_a_kind(node: ast.AST) -> bool:
    return bool(strings_in(node) & set(KINDS))


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(spec, HybridsExperiment)",
        "isinstance(spec, spec_module.TrainingExperiment | int)",
        "match spec:\n    case CurveFittingExperiment():\n        pass",
        "type(spec) is PretrainedExperiment",
        'spec.kind == "hybrids"',
        'results.kind in {"curve_fitting", "decision_map"}',
        'match spec.kind:\n    case "training":\n        pass',
    ],
)
def test_the_search_finds_what_it_should(code: str) -> None:
    assert any(asks_for_a_kind(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize("code", ["isinstance(spec, ExperimentBase)", 'event.kind == "late"', "KINDS[spec.kind]"])
def test_the_search_finds_nothing_else(code: str) -> None:
    assert not any(asks_for_a_kind(node) for node in ast.walk(ast.parse(code)))


def walk_without_assertions(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node but what stands in `assert`: that tells nothing apart, and states what is known."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Assert):
            yield child
            yield from walk_without_assertions(child)


def test_kinds_are_told_apart_in_their_own_rooms_alone() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        if not path.startswith(KIND_ROOMS)
        for node in walk_without_assertions(tree)
        if asks_for_a_kind(node) and isinstance(node, ast.expr | ast.stmt | ast.pattern)
    ]
    assert found == []


def imports_inside_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom):
                    yield node.lineno, node.module or ""
                if isinstance(node, ast.Import):
                    yield from ((node.lineno, alias.name) for alias in node.names)


def test_imports_stand_on_top_but_for_optional_extras() -> None:
    found = [
        f"{path}:{line} {module}"
        for path, tree in sources()
        for line, module in imports_inside_functions(tree)
        if EXTRAS.get(path, set()).isdisjoint({module, module.partition(".")[0]})
    ]
    assert found == []


def test_the_parent_of_workers_loads_no_torch_and_a_worker_no_torchvision_before_it_is_asked() -> None:
    code = (
        "import sys, worker.main, worker.tasks; assert 'torch' not in sys.modules; "
        "import worker.training; assert 'torch' in sys.modules; assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
