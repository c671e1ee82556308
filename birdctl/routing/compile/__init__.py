"""The routing compiler: from what the cluster says to the BIRD configuration of one node.

Pure: the same objects in any order, with the same `now`, give the same configuration. A compiler keeps what it found
out only to make the next compilation cost as much as the change; compiling everything afresh gives the same.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.routing.compile.advertising import Advertising, decisions
from birdctl.routing.compile.frame import Frame, Unusable, build
from birdctl.routing.compile.services import Considered
from birdctl.routing.model import BirdConfig, Filter
from birdctl.routing.options import RoutingOptions

_FRAME_KINDS = frozenset({"Node", "BGPConfiguration", "BGPPeer", "BGPAdvertisement", "AddressPool", "Secret"})


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """The desired configuration, and what could not be understood, sorted.

    `recheck_at`: when the same objects will give another answer (seconds since the epoch). `usable` False: this node
    itself is not known or has no address or ASN; the configuration is empty and what runs must stay as it is.
    """

    config: BirdConfig
    problems: tuple[InputError, ...] = ()
    recheck_at: float | None = None
    usable: bool = True


class RoutingCompiler:
    """Compiles for one node; owned by one thread."""

    def __init__(self, node: str, options: RoutingOptions) -> None:
        self._node = node
        self._options = options
        self._frame: Frame | None = None
        self._advertising = Advertising()
        self._filters: tuple[tuple[Frame, frozenset[object]], tuple[Filter, ...]] | None = None

    def compile(
        self, cluster: Cluster, *, version: tuple[int, ...], now: float, dirty: Collection[Key] | None = None
    ) -> Compiled:
        """The configuration for a BIRD of `version`. `dirty` are the keys changed since the last call, None for all."""
        before = self._frame
        try:
            frame = self._current_frame(cluster, version, now, dirty)
        except Unusable as reason:
            self._frame = None
            config = BirdConfig(node=self._node, version=version, router_id="0.0.0.0", families=())  # noqa: S104
            return Compiled(config=config, problems=reason.problems, usable=False)
        everything = dirty is None or before is None or before.rules != frame.rules
        self._advertising.update(cluster, frame.rules, None if everything else dirty)
        self._frame = frame
        problems = {str(problem): problem for problem in (*frame.problems, *self._advertising.problems)}
        return Compiled(
            config=self._config(frame),
            problems=tuple(problems[text] for text in sorted(problems)),
            recheck_at=frame.recheck_at,
        )

    def decisions(self, cluster: Cluster, service: str, *, now: float) -> tuple[Considered, ...]:
        """What becomes of each address of a service (`namespace/name`), and why. Raises InputError for a node that
        cannot be configured.
        """
        try:
            frame = self._frame or build(self._node, self._options, cluster, (), now)
        except Unusable as reason:
            raise reason.problems[0] from None
        return decisions(cluster, service, frame.rules)

    def _current_frame(
        self, cluster: Cluster, version: tuple[int, ...], now: float, dirty: Collection[Key] | None
    ) -> Frame:
        """The frame of the last compilation if nothing it was made from has changed."""
        kept = self._frame
        if (
            kept is None
            or dirty is None
            or version != kept.version
            or (kept.recheck_at is not None and now >= kept.recheck_at)
            or any(kind in _FRAME_KINDS for kind, _ in dirty)
        ):
            return build(self._node, self._options, cluster, version, now)
        return kept

    def _config(self, frame: Frame) -> BirdConfig:
        originated = (*frame.pods, *self._advertising.originated())
        return BirdConfig(
            node=self._node,
            version=frame.version,
            router_id=frame.router_id,
            families=frame.own.families,
            sessions=frame.sessions,
            originated=tuple(sorted(originated, key=lambda each: each.name)),
            prefix_sets=tuple(sorted(frame.prefix_sets, key=lambda each: each.name)),
            filters=self._all_filters(frame),
            graceful_restart_wait=int(self._options.bgp_graceful_restart_deferral_time),
        )

    def _all_filters(self, frame: Frame) -> tuple[Filter, ...]:
        """The filters only change with the frame and with the classes of services there are."""
        classes = frozenset(self._advertising.classes)
        if self._filters is None or self._filters[0][0] is not frame or self._filters[0][1] != classes:
            found = sorted(frame.filters(classes), key=lambda each: each.name)
            self._filters = ((frame, classes), tuple(found))
        return self._filters[1]
