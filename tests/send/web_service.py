"""A web service that answers as it is told to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int = 200
    content: bytes | object = b""
    kind: str = "application/dicom+json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes of the content after which the connection ends

    @property
    def encoded(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


Told = Callable[[Request], Reply]


@dataclass
class Service:
    port: int
    requests: list[Request]

    def of(self, method: str, path: str) -> list[Request]:
        return [each for each in self.requests if each.method == method and each.path.partition("?")[0] == path]


@contextmanager
def service(told: Told, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    """Run a service; `told` makes the reply to each request."""
    requests: list[Request] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told, requests))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # whoever waits no longer has hung up
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    serving.start()
    try:
        yield Service(server.server_address[1], requests)
    finally:
        server.shutdown()
        server.server_close()


def _handler(told: Told, requests: list[Request]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers), body)
            requests.append(request)
            reply = told(request)
            content = reply.encoded
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: reply.cut])
            self.close_connection = self.close_connection or reply.cut is not None

        do_GET = do_POST = do_PUT = do_HEAD = answer

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
