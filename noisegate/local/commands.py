"""`noisegate up` and `noisegate demo`: commands that run the whole installation on this machine."""

import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from noisegate.client.errors import Interrupted
from noisegate.client.show import console_for
from noisegate.local.demo import demo as run_demo
from noisegate.local.running import running

Port = Annotated[
    int, Parameter(help="Port on 127.0.0.1; 0 takes a free one.", validator=validators.Number(gte=0, lte=65535))
]


def up(
    *,
    port: Port = 8000,
    data_dir: Annotated[Path, Parameter(env_var="NOISEGATE_DATA_DIR")] = Path("noisegate-data"),
    workers: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
) -> int:
    """Run broker, service and worker on this machine until Ctrl-C.

    Args:
        data_dir: Where all state is kept.
        workers: Training processes; one a core by default.
    """
    try:
        with running(data_dir, port, workers) as up:
            print(
                f"Noisegate is ready at {up.url} (documentation: {up.url}/docs; data: {up.data_dir}). Ctrl-C stops it.",
                flush=True,
            )
            up.supervisor.run_until_interrupted()
    except Interrupted as interrupted:
        # To be ended by a service manager is how this command is meant to end.
        return interrupted.exit_code if interrupted.number == signal.SIGINT else 0


def demo(*, port: Port = 0, data_dir: Path | None = None) -> int:
    """Show everything once, in about a minute: train on digits, compare, classify.

    Args:
        data_dir: Keep what comes of it here; by default nothing is kept.
    """
    return 0 if run_demo(console_for(), data_dir, port) else 1
