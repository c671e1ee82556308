"""What the client makes of answers that are not what was hoped for, from a server that gives exactly those."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from birdctl.cluster.apiclient import ApiClient, path_of
from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.objects import EndpointSlice, Node, Secret
from birdctl.errors import ApiRefused, Unavailable

Serve = Callable[..., ApiClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server that answers every request alike; `cut` bytes of the body are missing.

    `chunked`: each line is a chunk of its own, as an API server sends a watch, and there is no last one.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes, *, cut: int = 0, chunked: bool = False) -> ApiClient:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(status)
                name, value = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
                self.send_header(name, value)
                self.end_headers()
                for line in body.splitlines(keepends=True) if chunked else ():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"" if chunked else body[: len(body) - cut])
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return connect(tmp_path, f"http://127.0.0.1:{servers[-1].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def connect(folder: Path, url: str, **how: Any) -> ApiClient:
    (folder / "kubeconfig").write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "hunter2"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return ApiClient.connect(folder / "kubeconfig", **how)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_worth_a_retry(serve: Serve, status: int):
    with pytest.raises(Unavailable, match="etcdserver: leader changed"):
        serve(status, b'{"kind": "Status", "message": "etcdserver: leader changed"}').request("GET", "/api")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_refusal_carries_its_status_and_reason(serve: Serve, status: int):
    with pytest.raises(ApiRefused, match="nodes is forbidden") as refused:
        serve(status, b'{"kind": "Status", "message": "nodes is forbidden"}').request("GET", "/api")
    assert refused.value.status == status


def test_a_refusal_that_is_no_json_is_shown_in_part(serve: Serve):
    with pytest.raises(ApiRefused, match="<html>no route"):
        serve(404, b"<html>no route</html>" + b" " * 1000).request("GET", "/api")


def test_an_answer_cut_in_half_is_no_answer(serve: Serve):
    with pytest.raises(Unavailable, match=r"IncompleteRead|broken"):
        serve(200, b'{"items": []}', cut=3).request("GET", "/api")


def test_a_watch_cut_in_half_is_unavailable_after_its_whole_lines(serve: Serve):
    lines: list[bytes] = []
    with pytest.raises(Unavailable):
        lines.extend(serve(200, b'{"a": 1}\n{"b": 2}\n{"c"', chunked=True).watch("/api", silence=5))
    assert lines == [b'{"a": 1}', b'{"b": 2}']


def test_a_port_where_nobody_listens_is_unavailable(tmp_path: Path):
    with pytest.raises(Unavailable, match=r"^API server http://127\.0\.0\.1:1: "):
        connect(tmp_path, "http://127.0.0.1:1").request("GET", "/api")


def test_no_error_shows_the_token(serve: Serve, tmp_path: Path):
    for client in (serve(401, b"no"), connect(tmp_path, "http://127.0.0.1:1")):
        with pytest.raises((ApiRefused, Unavailable)) as error:
            client.request("GET", "/api")
        assert "hunter2" not in str(error.value)
        assert "hunter2" not in repr(client)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (path_of(Node), "/api/v1/nodes"),
        (path_of(Node, "n1"), "/api/v1/nodes/n1"),
        (path_of(Secret, namespace="birdctl-system"), "/api/v1/namespaces/birdctl-system/secrets"),
        (path_of(EndpointSlice), "/apis/discovery.k8s.io/v1/endpointslices"),
        (path_of(BGPPeer, "tor1", subresource="status"), "/apis/birdctl.io/v1alpha1/bgppeers/tor1/status"),
    ],
)
def test_a_path_is_that_of_the_api(path: str, expected: str):
    assert path == expected


def test_a_master_is_asked_in_place_of_the_kubeconfig_s_server(serve: Serve, tmp_path: Path):
    url = serve(200, b"{}").server
    assert connect(tmp_path, "http://127.0.0.1:1", master=url).request("GET", "/api") == b"{}"


def test_where_nobody_answers_the_next_request_goes_to_another_place_and_round(serve: Serve, tmp_path: Path):
    others = tmp_path / "apiservers"
    others.write_text(f"http://127.0.0.1:2\n{serve(200, b'{}').server}\n")
    client = connect(tmp_path, "http://127.0.0.1:1", others=others)
    for _ in range(2):
        with pytest.raises(Unavailable):
            client.request("GET", "/api")
    assert client.request("GET", "/api") == b"{}"
    others.write_text("http://127.0.0.1:2\n")
    assert client.request("GET", "/api") == b"{}", "what works is not left"


def test_without_another_place_the_same_is_asked_again(tmp_path: Path):
    client = connect(tmp_path, "http://127.0.0.1:1", others=tmp_path / "nowhere")
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            client.request("GET", "/api")
