"""Other processes on the same GPU: several that train at once, and one that compiles, which may take longer than there is."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import Engine, EngineName, Recorded, Stacked, build_engine
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.stacking import FORMS, Form
from noisegate.learning.states import TrainingSet
from train_parts.bench import Bench, Record
from train_parts.made_up import next_batches, states_of
from train_parts.sizes import SMOKE
from train_parts.step_times import best_engine, cifar_like, figures_of
from train_parts.timing import Build, finish, step_seconds

COMPILED: tuple[Form, ...] = ("grouped", "multiplied")
_PROGRAM = Path(__file__).parents[1] / "train_gpu.py"
_MOST_SECONDS = 120


def processes(bench: Bench, record: Record) -> None:
    """Images a second of several processes together, each with fewer executions at once."""
    for count, executions in bench.sizes.processes:
        name = f"{count} × {executions}"
        bench.attempt(record, name, partial(_together, bench, count, executions))


def compiled(bench: Bench, record: Record) -> None:
    """Step times with the stacked forward pass compiled by torch.compile, each in a process that is ended when time is up."""
    for form in COMPILED:
        if bench.left() < 30:
            record[form] = {"failed": "no time left"}
            continue
        bench.attempt(record, form, partial(_compiled_alone, bench, form))


def be_child(bench: Bench, asked: Record) -> int:
    """What a child process does: `asked` is what it was started with, and says where its answer belongs."""
    try:
        together = asked["kind"] == "together"
        found = _measure_together(bench, asked) if together else _measure_compiled(bench, asked["form"])
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        found = {"failed": f"{type(error).__name__}: {error}"[:2000]}
    Path(asked["answer"]).write_text(json.dumps(found))
    return 0


def _together(bench: Bench, count: int, executions: int) -> Record:
    asked = {"kind": "together", "engine": best_engine(bench), "executions": executions, "of": count}
    found = _answers(bench, [asked | {"number": number} for number in range(count)])
    begun, ended = max(one["begun"] for one in found), min(one["ended"] for one in found)
    return {
        "images_per_second": sum(one["images_per_second"] for one in found),
        "seconds_of_all": ended - begun,
        "each": [one["images_per_second"] for one in found],
    }


def _compiled_alone(bench: Bench, form: Form) -> Record:
    (found,) = _answers(bench, [{"kind": "compiled", "form": form}])
    return found


def _answers(bench: Bench, asked: Sequence[Record]) -> list[Record]:
    """What these processes find, all at once; none outlives this call, nor does what it has started."""
    with tempfile.TemporaryDirectory(prefix="noisegate-children-") as folder:
        barrier = Path(folder, "barrier")
        barrier.mkdir()
        places = [Path(folder, f"{number}.json") for number in range(len(asked))]
        started = [
            _start(bench, one | {"barrier": str(barrier), "answer": str(place)})
            for one, place in zip(asked, places, strict=True)
        ]
        ends = time.monotonic() + max(1.0, min(_MOST_SECONDS, bench.left() - 5))
        try:
            for one in started:
                one.wait(max(0.1, ends - time.monotonic()))
        finally:
            for one in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
                one.wait()
        return [_read(place) for place in places]


def _start(bench: Bench, asked: Record) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(_PROGRAM), "--device", bench.device.type, "--child", json.dumps(asked)]
    smoke = ["--smoke"] if bench.sizes == SMOKE else []
    return subprocess.Popen(command + smoke, stdout=subprocess.DEVNULL, start_new_session=True)


def _read(place: Path) -> Record:
    if not place.exists():
        raise RuntimeError("the process ended without an answer")
    found: Record = json.loads(place.read_text())
    if "failed" in found:
        raise RuntimeError(found["failed"])
    return found


def _measure_together(bench: Bench, asked: Record) -> Record:
    engine_name: EngineName = asked["engine"]
    executions, sizes, data = asked["executions"], bench.sizes, cifar_like(bench)
    states = states_of(data, executions)
    with exact_arithmetic():
        engine = build_engine(engine_name, data, states)
        engine.set_learning_rate(data.spec.rate_at(0, 1))
        for _ in range(sizes.warm_up):
            engine.step(next_batches(states))
        finish(bench.device)
        _wait_for_all(Path(asked["barrier"]), asked["number"], asked["of"])
        begun, steps = time.time(), 0
        while time.time() - begun < sizes.processes_seconds:
            for _ in range(5):  # a host that runs far ahead would count steps that nobody has made
                engine.step(next_batches(states))
            finish(bench.device)
            steps += 5
        ended = time.time()
    return {"images_per_second": steps * executions * sizes.batch / (ended - begun), "begun": begun, "ended": ended}


def _wait_for_all(folder: Path, number: int, count: int) -> None:
    (folder / str(number)).touch()
    started = time.monotonic()
    while len(list(folder.iterdir())) < count:
        if time.monotonic() - started > _MOST_SECONDS:
            raise RuntimeError("another process did not come")
        time.sleep(0.01)


def _measure_compiled(bench: Bench, form: Form) -> Record:
    data = cifar_like(bench)
    started = time.perf_counter()

    def build(data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
        stacked = Stacked(data, states, form)
        forward: Any = torch.compile(partial(FORMS[form], stacked._network))
        stacked._forward = lambda _network, parameters, images: forward(parameters, images)
        return stacked

    def recorded(data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
        return Recorded(build(data, states), data.device)

    found: Record = {}
    for name, variant in {"without_graph": build, "recorded": recorded}.items():
        if name == "without_graph" or bench.on_gpu:
            bench.attempt(found, name, partial(_figures, bench, variant, data))
            found[f"seconds_until_{name}"] = time.perf_counter() - started
    return found


def _figures(bench: Bench, build: Build, data: TrainingSet) -> Record:
    sizes = bench.sizes
    return dict(figures_of(step_seconds(build, data, sizes.most, sizes), sizes.most, sizes.batch))
