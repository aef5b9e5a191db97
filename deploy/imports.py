"""Imports what the service's image runs, for the Dockerfile: a library that was cut too far is missed here, not by a user."""

import importlib

import botocore.session

MODULES = """
    aiohttp alembic.command celery.app.amqp cyclopts fastapi.openapi.utils kombu.transport.redis limits
    matplotlib.backends.backend_agg matplotlib.backends.backend_svg matplotlib.figure numpy.random onnxruntime
    opentelemetry.exporter.otlp.proto.http.trace_exporter opentelemetry.sdk.trace.export
    PIL.AvifImagePlugin PIL.BmpImagePlugin PIL.GifImagePlugin PIL.Jpeg2KImagePlugin PIL.JpegImagePlugin PIL.PngImagePlugin
    PIL.TiffImagePlugin PIL.WebPImagePlugin prometheus_client.multiprocess psycopg pydantic_settings
    redis rich.live rich.table s3fs safetensors.numpy scipy.ndimage scipy.special
    simplejpeg sqlalchemy.dialects.postgresql.psycopg sqlalchemy.orm starlette.middleware.cors structlog threadpoolctl
    uvicorn.lifespan.on uvicorn.loops.auto uvicorn.protocols.http.auto
"""


def main() -> None:
    for name in MODULES.split():
        importlib.import_module(name)
    # Its own descriptions of services are data, which no import looks at.
    botocore.session.get_session().create_client("s3", region_name="eu-central-1")


if __name__ == "__main__":
    main()
