"""One kind of object, listed and then watched, in a thread of its own.

The list is complete as of a resourceVersion, the watch goes on from there; when the server no longer knows that
version (410) it is listed again. Between failures the wait doubles, with jitter, so that a cluster's agents do not
come back all at once. What breaks here changes nothing in the store.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from birdctl.cluster.apiclient import JSON, METADATA_ONLY, ApiClient, Watch, path_of
from birdctl.cluster.bgp import API_VERSION
from birdctl.cluster.contact import Contact
from birdctl.cluster.decode import decode_json, rejected
from birdctl.cluster.events import Changed, Deleted, Event, Rejected, Replaced, replaced
from birdctl.cluster.objects import Namespace, Object
from birdctl.errors import ApiRefused, BackendError, InputError, Unavailable

log = logging.getLogger(__name__)

PAGE = 500
"""Objects per answer of a list."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 15.0
"""Seconds between two attempts."""
JOIN_TIME = 1.0
"""Seconds that the end of a thread is waited for."""
ABSENT_WAIT = 30.0
"""Seconds between two looks for a kind that the server does not serve."""
LIST_TIME = 30.0
"""Seconds that the server may take for one page."""
WATCH_TIME = (300, 600)
"""Seconds after which the server is asked to end a watch, drawn anew each time."""
SILENCE = 150.0
"""Seconds without even a bookmark, which come every minute, after which a watch is dead."""

GONE, NOT_FOUND = 410, 404

Asked = tuple[int, int]
"""Which list was asked for, and how many attempts had failed before."""


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class _Any(msgspec.Struct):
    metadata: _Meta


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


_any = msgspec.json.Decoder(_Any)
_list = msgspec.json.Decoder(_List)
_watch_event = msgspec.json.Decoder(_WatchEvent)
_status = msgspec.json.Decoder(_Status)


def read_list(
    client: ApiClient, type_: type[Object], selector: Mapping[str, str], namespace: str = ""
) -> tuple[Replaced, str]:
    """All objects of a kind that the selector takes, and the resourceVersion they are complete as of.

    Raises ApiRefused and Unavailable.
    """
    objects: list[Object] = []
    left_out: list[Rejected] = []
    query = {**selector, "limit": str(PAGE)}
    while True:
        body = client.request(
            "GET", path_of(type_, namespace=namespace), query=query, accept=_accept(type_), timeout=LIST_TIME
        )
        page = _list.decode(body)
        for item in page.items or ():
            try:
                objects.append(decode_json(type_, item))
            except InputError as error:
                left_out.append(rejected(type_, _any.decode(item).metadata.key, msgspec.json.decode(item), error))
        if not page.metadata.continue_:
            return replaced(type_, objects, left_out), page.metadata.resource_version
        query["continue"] = page.metadata.continue_


def _accept(type_: type[Object]) -> str:
    return METADATA_ONLY if type_ is Namespace else JSON


class Feed:
    """Emits one Replaced, then what changes; tells `contact` when it cannot, under `name`."""

    def __init__(
        self,
        client: ApiClient,
        contact: Contact,
        type_: type[Object],
        emit: Callable[[Event], None],
        *,
        selector: Mapping[str, str],
        namespace: str = "",
    ) -> None:
        self.type = type_
        self.name = " ".join((type_.plural, *selector.values()))
        self._client = client
        self._contact = contact
        self._emit = emit
        self._selector = dict(selector)
        self._namespace = namespace
        self._changed = threading.Condition()
        self._wanted_list = 1
        self._listed = 0
        self._failures = 0
        self._version = ""
        self._wait = FIRST_WAIT
        self._served = True
        self._stopped = False
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Emits nothing any more."""
        with self._changed:
            self._stopped = True
            self._interrupt()
        self._contact.forget(self.name)

    def join(self) -> None:
        """Waits for the thread, but not for a server that does not answer."""
        self._thread.join(JOIN_TIME)

    def relist(self) -> Asked:
        """Ask for a new list; what to give to `wait_listed`."""
        with self._changed:
            self._wanted_list += 1
            self._interrupt()
            return self._wanted_list, self._failures

    def wait_listed(self, asked: Asked, timeout: float) -> None:
        """Raises Unavailable when the first attempt at that list fails, or takes longer than `timeout` seconds."""
        number, failures = asked
        with self._changed:
            self._changed.wait_for(lambda: self._listed >= number or self._failures > failures, timeout)
            if self._listed < number:
                raise Unavailable(self._contact.error or f"{self.name}: no answer within {timeout:.0f} s")

    def _interrupt(self) -> None:
        self._changed.notify_all()
        if self._watch:
            self._watch.close()

    def _run(self) -> None:
        while not self._stopped:
            try:
                if not self._version or self._listed < self._wanted_list:
                    self._list()
                self._follow()
            except ApiRefused as error:
                self._refused(error)
            except (BackendError, msgspec.DecodeError) as error:
                self._failed(error)
            except Exception as error:  # a bug must not end the only thread that knows of changes
                log.exception("watching %s", self.name)
                self._failed(error)

    def _refused(self, error: ApiRefused) -> None:
        if error.status == GONE:
            self._version = ""
            self._pause(FIRST_WAIT * random.random())  # noqa: S311 - jitter, no secret
        elif error.status == NOT_FOUND:
            self._absent()
        else:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._stopped:
            self._contact.lost(self.name, error)
        with self._changed:
            self._failures += 1
            self._changed.notify_all()
        self._pause(self._wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            wanted = self._wanted_list
            self._changed.wait_for(lambda: self._stopped or self._wanted_list != wanted, seconds)

    def _absent(self) -> None:
        """The server serves no such kind. One that is starting answers 404 as well, but is not ready."""
        number = self._wanted_list
        try:
            self._client.request("GET", "/readyz")
        except BackendError as error:
            self._failed(error)
            return
        if self._served:
            ours = self.type.api_version == API_VERSION
            hint = ": is manifests/ applied?" if ours else ""
            log.log(logging.WARNING if ours else logging.INFO, "the API server serves no %s%s", self.type.plural, hint)
        self._served, self._version = False, ""
        self._emit_list(Replaced(self.type), number)
        self._pause(ABSENT_WAIT)

    def _list(self) -> None:
        number = self._wanted_list
        replaced, self._version = read_list(self._client, self.type, self._selector, self._namespace)
        self._served = True
        self._emit_list(replaced, number)

    def _emit_list(self, replaced: Replaced, number: int) -> None:
        if not self._stopped:
            self._emit(replaced)
        self._contact.regained(self.name)
        with self._changed:
            self._listed = number
            self._changed.notify_all()

    def _follow(self) -> None:
        """Watch until the server ends it, or somebody asks for a new list or the end."""
        watch = self._open_watch()
        self._contact.regained(self.name)
        try:
            self._take_all(watch)
        except Unavailable:
            if not self._stopped and self._listed >= self._wanted_list:
                raise

    def _open_watch(self) -> Watch:
        query = {
            **self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*WATCH_TIME)),  # noqa: S311 - jitter, no secret
        }
        path = path_of(self.type, namespace=self._namespace)
        watch = self._client.watch(path, query=query, accept=_accept(self.type), silence=SILENCE)
        with self._changed:
            self._watch = watch
            if self._stopped or self._listed < self._wanted_list:
                watch.close()
        return watch

    def _take_all(self, watch: Watch) -> None:
        heard = False
        for line in watch:
            if self._stopped:
                return
            self._take(_watch_event.decode(line))
            heard, self._wait = True, FIRST_WAIT
        if not heard:
            raise Unavailable("the server ended the watch without a word")

    def _take(self, event: _WatchEvent) -> None:
        if event.type == "ERROR":
            status = _status.decode(event.object)
            raise ApiRefused(status.code, status.message)
        metadata = _any.decode(event.object).metadata
        if event.type == "DELETED":
            self._emit(Deleted(self.type, metadata.key))
        elif event.type != "BOOKMARK":
            self._emit(self._changed_or_rejected(event.object, metadata.key))
        self._version = metadata.resource_version

    def _changed_or_rejected(self, text: msgspec.Raw, key: str) -> Event:
        try:
            return Changed(decode_json(self.type, text))
        except InputError as error:
            return rejected(self.type, key, msgspec.json.decode(text), error)
