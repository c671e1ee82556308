"""The agent's HTTP: `/metrics` on one port, the probes `/livez`, `/healthz` and `/readyz` on another. Read-only."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from birdctl.errors import BackendError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[], Answer]


def probe(verdict: Callable[[], str]) -> Page:
    """200 `ok` while `verdict` finds nothing wrong, else 503 with what it says."""

    def answer() -> Answer:
        wrong = verdict()
        return Answer(f"{wrong or 'ok'}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK)

    return answer


def serve(address: str, port: int, pages: Mapping[str, Page]) -> ThreadingHTTPServer:
    """Serves `pages` by path, from threads of its own, until the server's `shutdown`. An empty address is every one of
    the host, IPv6 included where there is any. Raises BackendError when the port cannot be had.
    """
    try:
        server = _Server(address, port, pages)
    except OSError as error:
        raise BackendError(f"cannot listen on {address or '*'} port {port}: {error.strerror or error}") from None
    threading.Thread(target=server.serve_forever, name=f"http {port}", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        if not address:
            address = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - probes come from the kubelet
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """In the log, as everything else; a client that left is no news."""
        left = isinstance(sys.exception(), OSError)
        log.log(logging.DEBUG if left else logging.ERROR, "answering %s failed", client_address, exc_info=True)

    def server_bind(self) -> None:
        if self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        answer = page() if page else Answer(b"not found\n", HTTPStatus.NOT_FOUND)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        log.debug(format, *args)
