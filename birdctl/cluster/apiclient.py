"""HTTP requests to the API server: bytes in, bytes out.

Configuration, authentication and TLS are the `kubernetes` package's; bodies are never turned into its model classes.
One client serves many threads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from birdctl.cluster.objects import Object
from birdctl.errors import ApiRefused, Unavailable

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA_ONLY = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
)

_OK = range(200, 300)
_RETRIABLE = {408, 429, 500, 502, 503, 504}
_KEEPALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class _Status(msgspec.Struct):
    """metav1.Status, the body of every refusal."""

    message: str = ""


def path_of(type_: type[Object], name: str = "", *, namespace: str = "", subresource: str = "") -> str:
    """The API's path of one object, or of all of a kind when `name` is empty; all namespaces when that is empty."""
    root = "api" if "/" not in type_.api_version else "apis"
    parts = [root, type_.api_version, f"namespaces/{namespace}" if namespace else "", type_.plural, name, subresource]
    return "/" + "/".join(part for part in parts if part)


def _reason(error: Exception) -> str:
    """Why a configuration cannot be used, in one line; the package stumbles over what is YAML but no kubeconfig."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, TypeError | AttributeError | LookupError):
        return "is not understood"
    return " ".join(str(error).split())


class ApiClient:
    """Requests to one API server; `others` is a file of the URLs where it can be asked too, one a line.

    When a connection fails, the next one is tried at the next request. All must have the certificate of the first.
    """

    def __init__(self, configuration: Any, pool: Any, others: Path | None = None) -> None:
        self._configuration = configuration
        self._pool = pool
        self._pool.connection_pool_kw |= {"socket_options": _KEEPALIVE, "maxsize": 16}
        _share_tls_context(self._pool.connection_pool_kw)
        self.server: str = configuration.host
        self._configured = self.server
        self._others = others
        if others:
            self._pool.connection_pool_kw.setdefault("assert_hostname", urlsplit(self.server).hostname)

    @classmethod
    def connect(cls, kubeconfig: Path | None, *, master: str = "", others: Path | None = None) -> ApiClient:
        """The client of a kubeconfig's current context, or of the cluster this pod runs in, or of `master` with the
        credentials of these. No request is made.

        Raises Unavailable when the configuration cannot be read.
        """
        from birdctl.cluster import kubernetes_lean  # noqa: PLC0415 - costs as much as the rest of the agent

        if not kubeconfig and "KUBERNETES_SERVICE_HOST" not in os.environ:
            raise Unavailable("no API server is known: give --kubeconfig FILE (only a pod knows its own)")
        try:
            configuration, pool = kubernetes_lean.load(kubeconfig)
            configuration.host = master or configuration.host
            return cls(configuration, pool, others)
        except Exception as error:
            where = f"kubeconfig {kubeconfig}" if kubeconfig else "in-cluster configuration"
            raise Unavailable(f"{where}: {_reason(error)}") from error

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        timeout: float = 10.0,
    ) -> bytes:
        """The body of the answer. `body` is bytes, or a value to encode as JSON; `timeout` in seconds.

        Raises ApiRefused with the HTTP status, Unavailable when there is no answer or a retry may help.
        """
        if body is not None and not isinstance(body, bytes):
            body = msgspec.json.encode(body)
        headers = {"accept": accept, "content-type": content_type}
        response = self._open(method, _url(path, query), headers, timeout, body)
        with _network_errors(self.server):
            return self._accepted(response, response.data)

    def watch(self, path: str, *, query: Mapping[str, str] | None = None, accept: str = JSON, silence: float) -> Watch:
        """The lines of a watch until the server ends it. `silence` is how many seconds a live watch may be quiet.

        Raises as `request`; the iteration raises Unavailable when the connection breaks.
        """
        url = _url(path, {**(query or {}), "watch": "true"})
        response = self._open("GET", url, {"accept": accept}, silence)
        if response.status not in _OK:
            with _network_errors(self.server):
                self._accepted(response, response.data)
        return Watch(response, self.server)

    def _open(self, method: str, url: str, headers: dict[str, str], timeout: float, body: bytes | None = None) -> Any:
        import urllib3  # noqa: PLC0415 - loaded by the configuration already

        headers |= self._credentials()
        server = self.server
        try:
            with _network_errors(server):
                return self._pool.request(
                    method,
                    server + url,
                    body=body,
                    headers=headers,
                    preload_content=False,
                    retries=False,
                    timeout=urllib3.Timeout(connect=5.0, read=timeout),
                )
        except Unavailable:
            self._leave(server)
            raise

    def _leave(self, server: str) -> None:
        """Another place next time, unless another thread has gone there already."""
        if self._others and self.server == server:
            servers = [self._configured, *_lines(self._others)]
            self.server = servers[(servers.index(server) + 1) % len(servers)] if server in servers else servers[0]

    def _credentials(self) -> dict[str, str]:
        """Fresh ones: the package renews tokens, by its exec plugin or from their file."""
        try:
            return {setting["key"]: setting["value"] for setting in self._configuration.auth_settings().values()}
        except Exception as error:
            raise Unavailable(f"API server {self.server}: no credentials: {error}") from error

    def _accepted(self, response: Any, body: bytes) -> bytes:
        if response.status in _OK:
            return body
        problem = f"API server {self.server}: {_message(body) or response.reason}"
        if response.status in _RETRIABLE:
            raise Unavailable(problem)
        raise ApiRefused(response.status, problem)


class Watch:
    """An iterator of JSON lines; `close` ends it from any thread."""

    def __init__(self, response: Any, server: str) -> None:
        self._response = response
        self._server = server

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            with _network_errors(self._server):
                for chunk in self._response.stream(1 << 16):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
        finally:
            self._response.close()

    def close(self) -> None:
        connection = self._response.connection
        if connection and connection.sock:
            with suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _share_tls_context(options: dict[str, Any]) -> None:
    """One TLS context for all connections, in place of one each: certificates are read and parsed once."""
    from urllib3 import disable_warnings  # noqa: PLC0415 - loaded by the configuration already
    from urllib3.exceptions import InsecureRequestWarning  # noqa: PLC0415
    from urllib3.util.ssl_ import create_urllib3_context  # noqa: PLC0415

    authorities, inline, certificate, key = (
        options.pop(name, None) for name in ("ca_certs", "ca_cert_data", "cert_file", "key_file")
    )
    context = create_urllib3_context(cert_reqs=options.get("cert_reqs"))
    if not context.verify_mode:
        disable_warnings(InsecureRequestWarning)  # the kubeconfig says insecure-skip-tls-verify: its owner knows
    if authorities or inline:
        context.load_verify_locations(cafile=authorities, cadata=inline)
    elif context.verify_mode:
        context.load_default_certs()
    if certificate:
        context.load_cert_chain(certificate, key)
    options["ssl_context"] = context


@contextmanager
def _network_errors(server: str) -> Iterator[None]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - loaded by the configuration already

    try:
        yield
    except (HTTPError, OSError) as error:
        raise Unavailable(f"API server {server}: {error}") from error


def _url(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Status).message
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace").strip()
