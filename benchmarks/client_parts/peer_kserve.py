"""KServe's Python SDK: InferenceRESTClient, protocol v2, with its default (binary) tensors and with JSON."""

import asyncio
from importlib.metadata import version

import kserve
from expected import OUTPUTS, Expected, done
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

expected = Expected()


def request(images, binary):
    tensor = kserve.InferInput("images", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    wanted = [RequestedOutput(name, parameters={"binary_data": binary}) for name in OUTPUTS]
    return kserve.InferRequest(model_name="default", infer_inputs=[tensor], request_outputs=wanted)


async def main():
    client = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_ready(expected.url)
    assert await client.is_model_ready(expected.url, "default")

    async def rows_of(images, binary):
        found = await client.infer(expected.url, request(images, binary), model_name="default")
        return {output.name: output.as_numpy() for output in found.outputs}

    for binary in (True, False):
        expected.check(await rows_of(expected.images, binary))
        for place in range(len(expected.images)):
            expected.check(await rows_of(expected.images[place : place + 1], binary), place)


asyncio.run(main())
done(version("kserve"), "100 digits at once and one by one, binary and JSON")
