"""OpenTelemetry traces, for a collector that the environment names (OTEL_EXPORTER_OTLP_ENDPOINT); without one nothing is recorded.

The SDK is the extra `otel`; its OTEL_… variables keep their meaning. What goes from process to process is a W3C `traceparent`, in
the experiment's row: https://www.w3.org/TR/trace-context/. Spans hold ids and figures, and of errors the type alone: no
keys, no images, no messages.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import context, trace
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from noisegate import __version__

_FLUSH_SECONDS = 3
_MISSING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and what would send traces is not installed: pip install 'noisegate[otel]'"
)
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_W3C = TraceContextTextMapPropagator()
T = TypeVar("T")
_tracer = trace.get_tracer("noisegate", __version__)


def wanted() -> bool:
    """Whether the environment asks for traces."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(os.environ.get(name) for name in _COLLECTORS)


def unavailable() -> str | None:
    """Why spans that are wanted could not be sent, if so."""
    if not wanted():
        return None
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ImportError:
        return _MISSING
    return None


def start(service: str) -> None:
    """Record spans from now on, if the environment asks for it; once a process.

    Args:
        service: the `service.name` of this process, unless OTEL_SERVICE_NAME says another.

    Raises:
        ImportError: the extra `otel` is not installed; `unavailable` says so before.
    """
    if not wanted():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({"service.version": __version__}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def stop() -> None:
    """Send what is held, for some seconds at most: a collector that is away must not hold up the end of a process."""
    # Without the SDK there is nothing to end, and the API has no word for it. Its own flush knows no bound.
    if (end := getattr(trace.get_tracer_provider(), "shutdown", None)) is not None:
        ending = threading.Thread(target=end, name="end-of-tracing", daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    began_at: int | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """A span around the block, current within it. An exception that leaves it makes it one that failed.

    Args:
        parent: a `traceparent`; none, or one that is none: the span that is current.
        began_at: nanoseconds since 1970; none: now.
    """
    found = _W3C.extract({"traceparent": parent}, context.get_current()) if parent else None
    with _tracer.start_as_current_span(
        name,
        context=found,
        attributes=attributes,
        start_time=began_at,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            failed(error)
            raise


def each(name: str, items: Iterable[T]) -> Iterator[T]:
    """The items, with a span around the making of each."""
    iterator = iter(items)
    while True:
        opened = _tracer.start_span(name)
        with trace.use_span(opened, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            try:
                item = next(iterator)
            except StopIteration:
                return  # made nothing: a span that is not ended is not sent
            except BaseException as error:
                failed(error)
                opened.end()
                raise
        opened.end()
        yield item


def failed(error: BaseException) -> None:
    """Say of the current span that it failed, and with what type of error."""
    current = trace.get_current_span()
    current.set_attribute("error.type", type(error).__qualname__)
    current.set_status(StatusCode.ERROR)


def traceparent() -> str | None:
    """The current span, for others to go on from; none if none is recorded."""
    if not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent")


def link(other: str | None) -> None:
    """Let the current span point to another trace, by its `traceparent`."""
    current = trace.get_current_span()
    if other is not None and current.is_recording():
        found = trace.get_current_span(_W3C.extract({"traceparent": other}, context.Context())).get_span_context()
        if found.is_valid:
            current.add_link(found)


def trace_id() -> str | None:
    """The current trace, in hexadecimal; none outside of any."""
    current = trace.get_current_span().get_span_context()
    return trace.format_trace_id(current.trace_id) if current.is_valid else None
