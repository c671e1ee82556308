"""A Lease of the API server (coordination.k8s.io/v1): which of several agents acts for all of them.

It also holds its *intents*, what the holder is about to write elsewhere, so that whoever follows it knows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from birdctl.cluster.apiclient import ApiClient, path_of
from birdctl.cluster.objects import Object, ObjectMeta, Struct
from birdctl.errors import ApiRefused

INTENTS = "birdctl.io/intents"
_TIMEOUT = 3.0


class LeaseSpec(Struct, frozen=True, kw_only=True):
    """`renew_time` is the holder's clock: nobody else compares it with their own."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class Lease(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = "coordination.k8s.io/v1"
    plural: ClassVar[str] = "leases"
    namespaced: ClassVar[bool] = True

    spec: LeaseSpec = LeaseSpec()

    @property
    def intents(self) -> Any:
        """What `LeaseClient` was told to write, None without any or when somebody else wrote something there."""
        try:
            return msgspec.json.decode(self.metadata.annotations.get(INTENTS, "null"))
        except msgspec.DecodeError:
            return None


class LeaseClient:
    """One Lease. Every write is refused (ApiRefused, 409) when somebody else wrote since it was read."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    def read(self) -> Lease | None:
        """None when there is none yet. Raises Unavailable, ApiRefused."""
        try:
            return self._request("GET", path_of(Lease, self._name, namespace=self._namespace))
        except ApiRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def write(self, before: Lease | None, holder: str, duration: float, intents: Any) -> Lease:
        """Makes it `holder`'s for `duration` seconds from now on. Raises Unavailable, ApiRefused."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = before.spec if before else LeaseSpec()
        stays = spec.holder_identity == holder
        spec = LeaseSpec(
            holder_identity=holder,
            lease_duration_seconds=int(duration),
            acquire_time=spec.acquire_time if stays else now,
            renew_time=now,
            lease_transitions=spec.lease_transitions + (before is not None and not stays),
        )
        metadata = ObjectMeta(
            name=self._name,
            namespace=self._namespace,
            resource_version=before.metadata.resource_version if before else "",
            annotations={INTENTS: msgspec.json.encode(intents).decode()},
        )
        item = {"apiVersion": Lease.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
        if before is None:
            return self._request("POST", path_of(Lease, namespace=self._namespace), item)
        return self._request("PUT", path_of(Lease, self._name, namespace=self._namespace), item)

    def _request(self, method: str, path: str, body: Any = None) -> Lease:
        return msgspec.json.decode(self._client.request(method, path, body, timeout=_TIMEOUT), type=Lease)
