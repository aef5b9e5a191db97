"""How every process of ours logs: one line an event, with its time, its level and what it is about. No secret comes through."""

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from noisegate import tracing

LogFormat = Literal["json", "console"]

# Passwords in URLs, what follows Authorization or Bearer, and our own keys; however they came into a line. None begins with \b:
# in JSON the character before may be the n of an escaped newline.
_SECRETS = (
    (re.compile(r"(://[^/\s:@\"'\\]*:)[^/\s@\"'\\]+@"), r"\1***@"),
    (
        re.compile(r"(authorization\b[\\\"':=,\s]{0,8}(?:b[\\\"']{1,2})?(?:\w+ +)?)[^\s\\\"',}]+", re.IGNORECASE),
        r"\1***",
    ),
    (re.compile(r"(bearer +)[^\s\\\"',}]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(ng_[0-9a-f]{12}_)[0-9A-Za-z_-]{16,}"), r"\1***"),
)


def configure_logs(wanted: LogFormat | None = None) -> None:
    """Set up structlog, and where it has to the logs of libraries; each process calls it once, or again.

    Args:
        wanted: None stands for `console` on a terminal, else `json`.
    """
    form = wanted or ("console" if sys.stderr.isatty() else "json")
    ours = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _add_trace]
    rendering = _rendering(form)
    structlog.configure([*ours, *rendering])
    theirs = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*ours, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _ToStderr)]:
        root.removeHandler(handler)
    handler = _ToStderr()
    handler.setFormatter(theirs)
    root.addHandler(handler)
    if form == "json":
        _take_over("uvicorn", "uvicorn.error", "uvicorn.access")


def without_secrets(line: str) -> str:
    """The line with every secret that it shows crossed out."""
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line


class _ToStderr(logging.Handler):
    """Writes to what stderr is now, not to what it was when logging was set up."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def _rendering(form: LogFormat) -> list[Processor]:
    stamps = structlog.processors.TimeStamper(fmt="iso", utc=True)
    # The default prints every local variable beside a traceback, secrets included, and takes seconds over it.
    traces = structlog.processors.format_exc_info
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return [stamps, traces, console if form == "console" else structlog.processors.JSONRenderer(), _cross_out]


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (id := tracing.trace_id()) is not None:
        event["trace_id"] = id
    return event


def _cross_out(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    # What stands after the renderer gets its line.
    return without_secrets(str(line))


def _take_over(*names: str) -> None:
    """Let what these loggers get come to the root's handler, whatever handlers they were given."""
    for name in names:
        logger = logging.getLogger(name)
        if not logger.handlers and not logger.propagate:
            continue  # its server was told to keep it silent
        logger.handlers.clear()
        logger.propagate = True
