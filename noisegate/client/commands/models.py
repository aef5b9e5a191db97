"""`noisegate models`, `card` and `alias`."""

import sys
from typing import Literal

from cyclopts import App

from noisegate.client import Noisegate
from noisegate.client.cards import card_block
from noisegate.client.errors import ClientError, ProblemError
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.listings import models_table
from noisegate.client.options import Url
from noisegate.client.output import Json, console_beside, print_json
from noisegate.client.progress import ProgressDisplay
from noisegate.client.show import console_for

_TORCHVISION_NAMES = {"alexnet": "torchvision AlexNet"}

models_app = App(name="models", help="List the models, or add one that others have trained.")


@models_app.default
def models(*, experiment: str | None = None, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the models.

    Args:
        experiment: Only those of this experiment.
    """
    with Noisegate(url) as client:
        found = client.models.list(experiment=experiment)
        print_json(found) if json else console_for().print(models_table(found), crop=False)


@models_app.command
def add_torchvision(network: Literal["alexnet"], *, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Have a worker fetch one of torchvision's networks with its ImageNet weights, and wait until it is a model.

    Args:
        network: Which one.
    """
    spec = {"kind": "pretrained", "network": network, "name": _TORCHVISION_NAMES[network]}
    with Noisegate(url) as client:
        id = client.experiments.create(spec).id
        with ProgressDisplay(console_beside(json), id) as progress:
            experiment = client.experiments.wait(id, progress=lambda now: progress.show(now.progress, now.state))
        if experiment.error:
            raise ProblemError.from_document(experiment.error.document())
        if experiment.state != "succeeded":
            raise ClientError(f"Experiment {id} was {experiment.state}: there is no model.")
        (model,) = client.models.list(experiment=id)
    if json:
        print_json(model)
    else:
        print(f"{model.id}\n`noisegate alias default {model.id}` has classify use it.")


def card(model: str = "default", *, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Show what a model can do, and what it makes of images that it should not know.

    Args:
        model: Id or alias.
    """
    with Noisegate(url) as client:
        found = client.models.card(model)
    print_json(found) if json else console_for().print(card_block(found))


def alias(name: str, model: str, *, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Have a name stand for a model; `default` is the one that `classify` uses.

    Args:
        model: Id or another alias.
    """
    with Noisegate(url) as client:
        answer = client.aliases.set(name, model)
    print_json(answer) if json else print(f"{answer.name} → {answer.model}", file=sys.stdout)
