"""A run of many sections against the clock: one may fail, or find no time left, and the others are measured and kept."""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from record import keep

from train_parts.sizes import Sizes

Record = dict[str, Any]


class DeviceBroken(Exception):
    """A GPU that answers no more; nothing else can be measured in this process."""


@dataclass
class Bench:
    """What is measured where, until when, and what was found so far: `results` is written to `path` after every section."""

    device: torch.device
    sizes: Sizes
    archive: Path | None
    ends: float
    path: Path
    results: Record = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        """Seconds until the run should have ended."""
        return self.ends - time.perf_counter()

    def keep(self) -> None:
        """Write what was found so far."""
        keep("train_gpu", self.results, self.path)

    def section(
        self, name: str, measure: Callable[["Bench", Record], None], *, seconds: float, needs_gpu: bool = False
    ) -> None:
        """Let `measure` fill the section's record, if `seconds` are left; a failure is noted beside what was found.

        Raises:
            DeviceBroken: the record is written by then.
        """
        record: Record = {}
        self.results[name] = record
        if needs_gpu and not self.on_gpu:
            record["not_measured"] = "needs a GPU"
        elif self.left() < seconds:
            record["not_measured"] = (
                f"no time left: {seconds:.0f} s were needed, {max(0.0, self.left()):.0f} s were left"
            )
        if "not_measured" in record:
            print(f"{name}: {record['not_measured']}", flush=True)
            self.keep()
            return
        print(f"{name} …", flush=True)
        started = time.perf_counter()
        try:
            self.attempt(record, None, lambda: measure(self, record))
        finally:
            record["seconds"] = round(time.perf_counter() - started, 2)
            self.keep()
        print(f"{name}: {record['seconds']} s", flush=True)

    def attempt(self, record: Record, name: str | None, measure: Callable[[], Any]) -> None:
        """Put what `measure` returns into `record` under `name`; where it fails, {"failed": why}, and the run goes on.

        Without a name nothing is put but "failed".

        Raises:
            DeviceBroken: it has been noted, too.
        """
        try:
            found = measure()
        except DeviceBroken:
            raise
        except Exception as error:  # whatever it is, it must not cost the other sections
            traceback.print_exc(file=sys.stderr)
            failed = {"failed": f"{type(error).__name__}: {error}"[:2000]}
            record.update(failed if name is None else {name: failed})
            self._check_device(error)
        else:
            if name is not None:
                record[name] = found

    def _check_device(self, error: Exception) -> None:
        if not self.on_gpu:
            return
        try:
            # A recording that fails leaves its own stream as the current one.
            torch.cuda.set_stream(torch.cuda.default_stream(self.device))
            if isinstance(error, torch.AcceleratorError):
                torch.cuda.synchronize(self.device)
                torch.ones(8, device=self.device).sum().item()
        except Exception:
            raise DeviceBroken(f"{type(error).__name__}: {error}"[:2000]) from error
