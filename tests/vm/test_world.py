"""Kernel and world as the tests of the service proxy take them for granted; virtual servers are ipvsadm's here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.world import PORT, World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(nodes=2, pods=2) as world:
        yield world


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize("of", Family)
def test_everybody_reaches_every_pod(world: World, of: Family, protocol: Protocol) -> None:
    for place in (world.client, *world.nodes.values(), *world.pods.values()):
        for pod in world.pods.values():
            answer = place.ask(pod.addresses[of], PORT, protocol)
            assert answer.name == pod.name
            if place.name != pod.node:  # a node speaks from its bridge
                assert answer.peer == place.addresses[of]
