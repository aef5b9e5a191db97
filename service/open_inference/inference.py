"""From a request to its answer: every image goes through the model's queue, beside those of all other requests."""

from collections.abc import Sequence

import numpy as np

from noisegate.errors import InvalidImage, TooLarge
from noisegate.rejection.decision import DecisionOptions
from service.classify.batching import Answered
from service.classify.decoding import Decoded, groups_of
from service.classify.models import Classifiers, Loaded
from service.open_inference.outputs import Output, check_values, chosen, largest, outputs_of, tensor_of
from service.open_inference.reading import Pixels, Tensors, field_of
from service.open_inference.schemas import InferParameters, InferredParameters, InferRequest, InferResponse


async def inferred(
    classifiers: Classifiers, loaded: Loaded, name: str, sent: Tensors, most_values: int
) -> tuple[InferResponse, list[bytes]]:
    """What `loaded`, which was asked for as `name`, makes of a request; and the tensors that lie behind the JSON.

    Raises:
        InvalidInput: an output is asked for that the model has not, more than `most_values` numbers in all, or a budget that its
            holdout cannot promise.
        InvalidImage, TooLarge: as decode_image, naming the first file it is about.
        ModelUnusable: as Batcher.decide.
    """
    document = sent.document
    parameters = document.parameters or InferParameters()
    outputs = _outputs(loaded, document, binary=parameters.binary_data_output)
    options = DecisionOptions(parameters.max_false_reject, rule=loaded.rule, brief=True)
    loaded.classifier.budget(options)
    check_values([output for output, _ in outputs.values()], loaded.classifier, len(sent.images), most_values)
    rows = await _decided(classifiers, loaded, sent.images, options)
    tensors = [tensor_of(name, output, rows, binary=binary) for name, (output, binary) in outputs.items()]
    response = InferResponse.model_construct(
        model_name=name,
        model_version=loaded.version,
        id=document.id,
        parameters=InferredParameters(
            model=loaded.id,
            max_false_reject=rows[0].brief["max_false_reject"],
            threshold=rows[0].brief["threshold"],
        ),
        outputs=[tensor for tensor, _ in tensors],
    )
    return response, [packed for _, packed in tensors]


def _outputs(loaded: Loaded, document: InferRequest, *, binary: bool) -> dict[str, tuple[Output, bool]]:
    """The outputs that are asked for, by name, and which of them are binary."""
    has = outputs_of(loaded.classifier.manifest)
    found: dict[str, tuple[Output, bool]] = {}
    for name, wanted in chosen(has, document.outputs or [], binary=binary).items():
        output = largest(has[name], wanted.classification) if wanted.classification else has[name]
        found[name] = output, bool(wanted.binary_data)
    return found


async def _decided(
    classifiers: Classifiers, loaded: Loaded, images: Pixels | Sequence[bytes], options: DecisionOptions
) -> list[Answered]:
    """The answers in the order of the images. Of several bad ones the first is told."""
    if isinstance(images, np.ndarray):
        return _all_well(await classifiers.decide_all(loaded, list(images), options))
    rows: list[Answered] = []
    for group in groups_of([len(image) for image in images]):
        decoded = await classifiers.decoder.decode_all([images[row] for row in group], loaded.classifier.manifest)
        pixels = [_pixels(row, one) for row, one in zip(group, decoded, strict=True)]
        rows += _all_well(await classifiers.decide_all(loaded, pixels, options))
    return rows


def _pixels(row: int, decoded: Decoded | Exception) -> Pixels:
    if isinstance(decoded, InvalidImage | TooLarge):
        raise type(decoded)(decoded.detail, field=field_of(row), remedy=decoded.remedy) from decoded
    if isinstance(decoded, Exception):
        raise decoded
    return decoded[0]


def _all_well(results: Sequence[Answered | Exception]) -> list[Answered]:
    well = [one for one in results if not isinstance(one, Exception)]
    if len(well) < len(results):
        raise next(one for one in results if isinstance(one, Exception))
    return well
