#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0: a request that offers another protocol arrives without its body.
#
# Expected: RFC 9110, section 7.8: a server that does not take up an Upgrade goes on as if there were none. The JDK's HttpClient
# and `curl --http2` offer `h2c` with their first request, a POST with its body included.
# Seen: with httptools, which `uvicorn[standard]` installs and chooses, the application gets the request with an empty body. With
# h11 the body is there. Known: reported as uvicorn#2722.
# For who serves with rejection: every image that a Java program posts is empty; a service that does not refuse empty bodies
# decides on nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
"$work/venv/bin/python" - <<'PY'
import socket
import threading
import time

import uvicorn

REQUEST = (
    b"POST / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    b"Content-Length: 5\r\n\r\nimage"
)


async def tell_the_body(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = b"%d bytes" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


def asked(http: str) -> bytes:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(tell_the_body, http=http, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            client.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b" bytes"):
                answer += client.recv(4096)
        server.should_exit = True
        thread.join()
    return answer.rpartition(b"\r\n")[2]


found = {http: asked(http) for http in ("h11", "httptools")}
print(f"of five bytes that were sent the application saw {found}")
assert found == {"h11": b"5 bytes", "httptools": b"0 bytes"}, "this behaviour has changed"
PY
