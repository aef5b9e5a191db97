"""The command `noisegate`."""

import os
import signal
import sys

from cyclopts import App

from noisegate import __version__
from noisegate.client.classifying import classify
from noisegate.client.commands.datasets import datasets, report, upload
from noisegate.client.commands.experiments import cancel, experiments, results, samples, watch
from noisegate.client.commands.experiments import run as run_experiment
from noisegate.client.commands.exporting import export_app
from noisegate.client.commands.models import alias, card, models_app
from noisegate.client.commands.others import backbones, delete, presets, workers
from noisegate.client.console import make_printable
from noisegate.client.errors import ClientError, Interrupted
from noisegate.client.options import in_options
from noisegate.client.training import train

EXIT_INTERRUPTED = 128 + signal.SIGINT

app = App(
    name="noisegate",
    version=__version__,
    help="Trains image classifiers that can answer 'none of these', and serves them.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` gives every exit status
)
app.command(models_app)
app.command(export_app)
for command in (
    train,
    classify,
    run_experiment,
    watch,
    results,
    samples,
    cancel,
    delete,
    workers,
    experiments,
    presets,
    backbones,
    datasets,
    upload,
    report,
    card,
    alias,
):
    app.command(command)
# By name, imported when called: a client of a service elsewhere has neither the database's packages nor the processes.
for target, summary in (
    ("noisegate.local.commands:up", "Run broker, service and worker on this machine until Ctrl-C."),
    ("noisegate.local.commands:demo", "Show everything once, in about a minute: train on digits, compare, classify."),
    ("noisegate.admin.keys:keys_app", "Make, list and revoke API keys, on the database itself."),
    ("noisegate.admin.maintenance:gc", "Remove files without a row, expired keys and failed datasets."),
    ("noisegate.admin.maintenance:backup", "Write the database and all files that it names to one tar. SQLite only."),
    (
        "noisegate.admin.maintenance:restore",
        "Unpack a backup into the data directory, which must be empty or not there.",
    ),
):
    app.command(target, name=target.rpartition(":")[2].removesuffix("_app"), help=summary)
app.register_install_completion_command(name="install-completion")


def main() -> None:
    """The entry point: one message and exit status 1 for anything that goes wrong, 130 for Ctrl-C."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status."""
    make_printable()
    try:
        status: int | None = app(arguments)
    except ClientError as error:
        print(in_options(str(error)), file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status or 0


if __name__ == "__main__":
    main()
