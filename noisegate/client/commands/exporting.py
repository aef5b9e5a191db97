"""`noisegate export mlflow` and `noisegate export tensorboard`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from cyclopts import App

from noisegate.client import Noisegate
from noisegate.client.errors import ClientError
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.options import Url
from noisegate.client.output import Json, print_object

export_app = App(name="export", help="Write an experiment for MLflow or TensorBoard.")


@export_app.command
def mlflow(
    experiment: str, *, tracking_uri: str, models: bool = True, json: Json = False, url: Url = DEFAULT_URL
) -> None:
    """Write a run for each execution that has ended: params, metrics, losses by epoch, and its model.

    Args:
        experiment: Its id.
        tracking_uri: Of MLflow: http://…, sqlite:///… or a folder.
        models: Whether the models that were kept are logged, too: as pyfunc and as ONNX.
    """
    export = _exporter("mlflow", "export_mlflow")
    with Noisegate(url) as client:
        runs = list(export(client, experiment, tracking_uri, models=models))
    if json:
        for run in runs:
            print_object({"run": run.run, "name": run.name, "is_new": run.is_new})
    else:
        print(f"{sum(run.is_new for run in runs):,} runs written, {sum(not run.is_new for run in runs):,} were there.")


@export_app.command
def tensorboard(experiment: str, *, into: Path, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Write event files, a folder an execution: losses by epoch, final metrics, and parameters for the tab HPARAMS.

    Args:
        experiment: Its id.
        into: The folder; `tensorboard --logdir` shows it.
    """
    export = _exporter("tensorboard", "export_tensorboard")
    with Noisegate(url) as client:
        folders = list(export(client, experiment, into))
    if json:
        for folder in folders:
            print_object({"folder": str(folder)})
    else:
        print(f"{len(folders):,} executions written below {into}: tensorboard --logdir {into}")


def _exporter(package: str, name: str) -> Callable[..., Any]:
    if find_spec(package) is None:
        raise ClientError(f"The package {package} is not installed: pip install 'noisegate[{package}]'.")
    exporter: Callable[..., Any] = resolve_name(f"noisegate.client.exports.{package}:{name}")
    return exporter
