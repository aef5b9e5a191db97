"""MLServer's codecs, whose BYTES are [n, 1], and its types, over HTTP."""

from importlib.metadata import version
from urllib.request import Request, urlopen  # noqa: TID251

from expected import Expected, done
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

expected = Expected()


def rows_of(tensor):
    request = InferenceRequest(inputs=[tensor])
    body = request.model_dump_json(exclude_none=True).encode()
    asked = Request(f"{expected.url}/v2/models/default/infer", body, {"Content-Type": "application/json"})
    with urlopen(asked, timeout=60) as answer:
        outputs = InferenceResponse.model_validate_json(answer.read()).outputs
    found = {}
    for output in outputs:
        values = list(output.data.root if hasattr(output.data, "root") else output.data)
        wide = output.shape[1] if len(output.shape) > 1 else None
        found[output.name] = [values[at : at + wide] for at in range(0, len(values), wide)] if wide else values
    return found


files = expected.files()
for made in (
    lambda some: NumpyCodec.encode_input("images", expected.images[some]),
    lambda some: Base64Codec.encode_input("images", files[some], use_bytes=False),
):
    expected.check(rows_of(made(slice(None))))
    for place in range(len(files)):
        expected.check(rows_of(made(slice(place, place + 1))), place)
done(version("mlserver"), "100 digits at once and one by one, as pixels and as files in [n, 1] BYTES")
