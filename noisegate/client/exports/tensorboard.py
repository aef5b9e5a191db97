"""Event files for TensorBoard, written by its own package: no TensorFlow, no torch. `pip install noisegate[tensorboard]`."""

from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from noisegate.client import Noisegate
from noisegate.client.exports.recorded import Recorded, recorded


def export_tensorboard(client: Noisegate, experiment: str, into: Path) -> Iterator[Path]:
    """One folder an execution below `into`, with its curves, final metrics and parameters; each as it is written.

    `tensorboard --logdir` on the folder shows them; its tab HPARAMS compares executions by what was swept.
    """
    found = client.experiments.get(experiment)
    for one in recorded(client, found):
        folder = into / found.id / f"cell-{one.execution.cell}" / f"execution-{one.execution.execution}"
        _write(folder, one)
        yield folder


def _write(folder: Path, one: Recorded) -> None:
    # A folder that was written before would show every point twice.
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    ended = one.execution.finished_at
    moment = ended.timestamp() if ended else 0.0
    writer = EventFileWriter(str(folder))
    try:
        writer.add_event(
            Event(wall_time=moment, summary=hparams.hparams_pb(dict(one.params), trial_id=one.execution.id))
        )
        for name, values in one.curves.items():
            for epoch, value in enumerate(values, start=1):
                if value is not None:
                    writer.add_event(_scalar(name, value, epoch, moment))
        last = max((len(values) for values in one.curves.values()), default=0)
        for name, value in one.metrics.items():
            writer.add_event(_scalar(name, value, last, moment))
    finally:
        writer.close()


def _scalar(name: str, value: float, step: int, moment: float) -> Event:
    return Event(wall_time=moment, step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))
