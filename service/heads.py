"""HEAD: what GET would answer, without the body (RFC 9110, section 9.3.2). Every path that answers GET answers it."""

from starlette.types import Message, Scope, Send


def as_get(scope: Scope) -> Scope:
    """The request that a HEAD is answered as; others as they are. The server's own stays: by it the server sends no body."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def without_body(scope: Scope, send: Send) -> Send:
    """`send` for the answer to this request, which ends after its headers if the request is a HEAD."""
    if scope["method"] != "HEAD":
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            # Whatever follows is left out. A stream without an end hears, as of a caller that has gone, that it may end.
            await send({"type": "http.response.body", "body": b""})
        elif message["type"] != "http.response.body":
            await send(message)

    return sending
