"""tritonclient.http with its default settings: metadata, config, statistics, and inference in binary."""

from importlib.metadata import version

import tritonclient.http as triton
from expected import OUTPUTS, Expected, done

expected = Expected()
with triton.InferenceServerClient(expected.address) as client:
    assert client.is_server_ready()
    assert client.is_model_ready("default")
    assert client.get_model_config("default")["max_batch_size"] >= 100

    def rows_of(images):
        sent = triton.InferInput("images", list(images.shape), "UINT8").set_data_from_numpy(images)
        found = client.infer("default", [sent])
        return {name: found.as_numpy(name) for name in OUTPUTS}

    expected.check(rows_of(expected.images))
    for place in range(len(expected.images)):
        expected.check(rows_of(expected.images[place : place + 1]), place)
    assert client.get_inference_statistics("default")["model_stats"][0]["inference_count"] >= 200
done(version("tritonclient"), "100 digits at once and one by one, binary; config, statistics")
