"""How every process of ours logs: one line an event, with its time, its level and what it is about."""

import structlog


def configure_logs() -> None:
    """Set structlog up; each process calls it once."""
    # The default prints every local variable beside a traceback, secrets included, and takes seconds over it.
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    stamps = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure([structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, stamps, renderer])
