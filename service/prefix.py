"""Below a path of a reverse proxy (`NOISEGATE_URL_PREFIX`), which may strip it from what it sends on or not."""

from starlette.types import Message, Scope, Send


def below(prefix: str, scope: Scope, send: Send) -> tuple[Scope, Send]:
    """The request as ASGI describes one below a root path, and `send` for its answer, whose Location a caller can follow."""
    path: str = scope["path"]
    has_it = path == prefix or path.startswith(f"{prefix}/")
    scope = {**scope, "root_path": prefix, "path": path if has_it else prefix + path}

    async def located(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [_located(entry, prefix.encode()) for entry in message["headers"]]}
        await send(message)

    return scope, located


def _located(header: tuple[bytes, bytes], prefix: bytes) -> tuple[bytes, bytes]:
    """A header as it was, but for a Location that does not lead below the prefix yet."""
    name, value = header
    leads_away = name.lower() == b"location" and value.startswith(b"/") and not value.startswith(prefix + b"/")
    return (name, prefix + value) if leads_away else header
