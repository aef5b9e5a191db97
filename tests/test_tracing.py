"""Traces are of no cost where nobody wants them, and of no harm where nobody takes them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own: what records is chosen once in each."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=bare | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "environment",
    [{}, {COLLECTOR: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}],
)
def test_unless_they_are_wanted_nothing_is_loaded_or_recorded(environment: dict[str, str]) -> None:
    done = python(
        "import sys; from noisegate import tracing\n"
        "tracing.start('x')\n"
        "with tracing.span('a', parent='00-' + 'a' * 32 + '-' + 'b' * 16 + '-01'):\n"
        "    assert tracing.traceparent() is None\n"
        "assert list(tracing.each('b', [1, 2])) == [1, 2]\n"
        "tracing.stop()\n"
        "assert 'opentelemetry.sdk' not in sys.modules",
        **environment,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "is silent"])
def test_a_collector_that_is_away_does_not_hold_up_the_end(answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not answers:
            silent.close()
        done = python(
            "import time; from noisegate import tracing\n"
            "tracing.start('x')\n"
            "with tracing.span('a'): assert tracing.traceparent()\n"
            "began = time.monotonic(); tracing.stop(); print(time.monotonic() - began)",
            **{COLLECTOR: f"http://127.0.0.1:{port}"},
        )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 9


@pytest.mark.parametrize("program", ["service.main", "worker.main"])
def test_what_cannot_send_them_does_not_start(program: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry.sdk'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    environment = {COLLECTOR: "http://127.0.0.1:1", "PYTHONPATH": str(tmp_path), "NOISEGATE_DATA_DIR": str(tmp_path)}
    done = python(f"import runpy; runpy.run_module('{program}', run_name='__main__')", **environment)
    assert done.returncode == 78
    assert "noisegate[otel]" in done.stdout + done.stderr
