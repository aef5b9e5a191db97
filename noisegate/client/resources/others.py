"""`client.presets`, `client.backbones` and `client.workers`."""

import builtins

from noisegate.api.answers import WorkerAnswer
from noisegate.api.preset_answers import BackboneAnswer, PresetAnswer, PresetWholeAnswer
from noisegate.client.flows import Flow, Listing, get
from noisegate.client.fronts import Mode, Resource, listing, operation


class Presets(Resource[Mode]):
    """The paper's tables and figures, and the field's protocols, as ready specs."""

    @operation
    def list(self) -> Flow[builtins.list[PresetAnswer]]:
        """All presets, the paper's first."""
        return self._front.read_items(get("presets"), PresetAnswer)

    @operation
    def get(self, name: str) -> Flow[PresetWholeAnswer]:
        """One preset, with `specs`: what posting it at each scale means; and the published values."""
        return self._front.read(get("presets", name), PresetWholeAnswer)


class Backbones(Resource[Mode]):
    """Networks that somebody else has trained."""

    @listing
    def list(self) -> Listing[BackboneAnswer]:
        """All backbones: what is at hand first, then by name."""
        return Listing("/backbones", BackboneAnswer)

    @operation
    def get(self, name: str) -> Flow[BackboneAnswer]:
        """One backbone."""
        return self._front.read(get("backbones", name), BackboneAnswer)


class Workers(Resource[Mode]):
    """The processes that train."""

    @operation
    def list(self) -> Flow[builtins.list[WorkerAnswer]]:
        """All workers by name, and what each is doing."""
        return self._front.read_items(get("workers"), WorkerAnswer)
