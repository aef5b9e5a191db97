"""From a request to its answer: every image goes through the model's queue, beside those of all other requests."""

import asyncio
from collections.abc import Sequence

from noisegate.errors import InvalidImage, TooLarge
from noisegate.rejection.decision import DecisionOptions
from service.classify.batching import Answered
from service.classify.models import Classifiers, Loaded
from service.open_inference.outputs import Output, check_values, chosen, largest, outputs_of, tensor_of
from service.open_inference.reading import Pixels, Tensors, field_of
from service.open_inference.schemas import InferParameters, InferredParameters, InferRequest, InferResponse

# Images of one request that wait at once: enough to fill a batch while the one before runs.
_AT_ONCE = 64


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
    options = DecisionOptions(parameters.max_false_reject, rule=loaded.rule)
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
            max_false_reject=rows[0].decision["max_false_reject"],
            threshold=rows[0].decision["threshold"],
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
    """The answers in the order of the images, of which a limited number is under way at once."""
    rows: list[Answered] = []
    for start in range(0, len(images), _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, len(images)))
        # Exceptions as results: of several bad images the first is told, and none is left running.
        for result in await asyncio.gather(
            *(_row(classifiers, loaded, row, images[row], options) for row in some), return_exceptions=True
        ):
            if isinstance(result, BaseException):
                raise result
            rows.append(result)
    return rows


async def _row(
    classifiers: Classifiers, loaded: Loaded, row: int, image: Pixels | bytes, options: DecisionOptions
) -> Answered:
    if isinstance(image, bytes):
        try:
            image, _ = await classifiers.decoder.decode(image, loaded.classifier.manifest, patient=True)
        except (InvalidImage, TooLarge) as error:
            raise type(error)(error.detail, field=field_of(row), remedy=error.remedy) from error
    return await classifiers.decide(loaded, image, options, patient=True)
