"""tritonclient.http.aio with its default settings, and with JSON, which it calls octet-stream."""

import asyncio
from importlib.metadata import version

import tritonclient.http.aio as triton
from expected import OUTPUTS, Expected, done

expected = Expected()


async def main():
    async with triton.InferenceServerClient(expected.address) as client:

        async def rows_of(images, binary):
            sent = triton.InferInput("images", list(images.shape), "UINT8")
            sent.set_data_from_numpy(images, binary_data=binary)
            wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
            found = await client.infer("default", [sent], outputs=wanted)
            return {name: found.as_numpy(name) for name in OUTPUTS}

        for binary in (True, False):
            expected.check(await rows_of(expected.images, binary))
            singles = [rows_of(expected.images[place : place + 1], binary) for place in range(len(expected.images))]
            for place, rows in enumerate(await asyncio.gather(*singles)):
                expected.check(rows, place)


asyncio.run(main())
done(version("tritonclient"), "100 digits at once and a hundred requests side by side, binary and JSON")
