"""A request that offers another protocol (`Upgrade: h2c`, as Java's HttpClient and `curl --http2` do) is answered as any other.

RFC 9110, section 7.8: a server that ignores an offer goes on as if there were none. httptools ends such a request after its headers
and uvicorn then drops the body; here what follows the headers is read without the offer.
"""

from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_CONNECT = b"CONNECT"
_OFFER = b"upgrade"


class IgnoresUpgrades(HttpToolsProtocol):
    """uvicorn's HTTP/1.1; the headers of requests with an offer are read twice, those of others once."""

    def data_received(self, data: bytes) -> None:
        """As uvicorn's. One piece may hold several requests, each with an offer."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as offered:
                    if self.parser.get_method() == _CONNECT:
                        return
                    rest = rest[cast(int, offered.args[0]) :]
                    self._begin_without_offer()
        except httptools.HttpParserError:
            # In uvicorn's words; it closes the connection.
            self.send_400_response("Invalid HTTP request received.")

    def _should_upgrade(self) -> bool:
        # What uvicorn asks before it hands a request on: one with an offer is handed on at the second reading.
        return self.parser.get_method() != _CONNECT

    def _begin_without_offer(self) -> None:
        """A fresh parser that stands where the last one stood after the headers, but has not seen the offer."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [name + b": " + value for name, value in self.headers if name != _OFFER]
        head = b"\r\n".join([b"%s %s HTTP/%s" % (method, self.url, version), *kept, b"", b""])
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(head)
