"""Whatever is rendered parses: golden files and generated configurations, in every BIRD that reads them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.routing.model import (
    AddPaths,
    Attributes,
    Bfd,
    BirdConfig,
    GracefulRestart,
    Limit,
    NextHopSelf,
    PrefixPattern,
    Term,
    Timers,
)
from birdctl.routing.render import render
from birdctl.secret import Secret
from tests.birds import BirdProgram
from tests.configs import channel, external_session, mesh_session, node_config, originated

GOLDEN = sorted(Path(__file__).parents[1].glob("unit/routing/render/golden/*.conf"))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_file_parses_in_its_version_and_later_ones(golden: Path, birds: tuple[BirdProgram, ...]) -> None:
    version = tuple(int(number) for number in golden.stem.rpartition("-")[2].split("."))
    readers = [bird for bird in birds if bird.version >= version]
    assert readers
    for bird in readers:
        assert bird.check(golden.read_text()) == "", str(bird)


texts = st.text(st.characters(exclude_characters='"', exclude_categories=("C", "Z")), max_size=20)
numbers = st.integers(0, 2**32 - 1)
limits = st.none() | st.builds(
    Limit, prefixes=st.integers(1, 10**6), action=st.sampled_from(["warn", "block", "restart", "disable"])
)
attributes = st.builds(
    Attributes,
    communities=st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=3).map(tuple),
    large_communities=st.lists(st.tuples(numbers, numbers, numbers), max_size=3).map(tuple),
    med=st.none() | numbers,
    local_pref=st.none() | numbers,
    prepend=st.lists(st.integers(1, 2**32 - 1), max_size=3).map(tuple),
)


@st.composite
def patterns(draw: st.DrawFn, family: Family) -> PrefixPattern:
    length = draw(st.integers(0, family.bits))
    bits = draw(st.integers(0, 2**length - 1)) << (family.bits - length)
    address = ip_address(bits.to_bytes(family.bits // 8, "big"))
    low = draw(st.integers(length, family.bits))
    high = draw(st.integers(low, family.bits))
    return PrefixPattern(prefix=ip_network((address, length)), min_length=low, max_length=high)


def terms(family: Family) -> st.SearchStrategy[Term]:
    """Each with a condition at least."""
    found = st.builds(
        Term,
        accept=st.booleans(),
        protocols=st.lists(st.sampled_from([f"pods{family.digit}", "services_web4"]), max_size=2).map(tuple),
        sources=st.lists(st.sampled_from(["RTS_BGP", "RTS_DEVICE", "RTS_INHERIT"]), max_size=2).map(tuple),
        prefixes=st.lists(patterns(family), max_size=3).map(tuple),
        attributes=attributes,
        comment=texts,
    )
    return found.filter(lambda term: term.protocols or term.sources or term.prefixes)


def channels(family: Family) -> st.SearchStrategy[Any]:
    return st.builds(
        channel,
        st.just(family),
        next_hop_self=st.sampled_from(NextHopSelf),
        next_hop_address=st.none() | st.just(ip_address("10.0.0.1" if family is Family.IPV4 else "fd00::1")),
        add_paths=st.sampled_from(AddPaths),
        extended_next_hop=st.booleans(),
        keep_filtered=st.booleans(),
        import_limit=limits,
        export_limit=limits,
    )


session_options = st.fixed_dictionaries(
    {
        "peer": texts,
        "timers": st.builds(Timers, hold=st.integers(30, 3600), keepalive=st.integers(1, 30)),
        "graceful_restart": st.none()
        | st.builds(GracefulRestart, long_lived_stale_time=st.none() | st.integers(1, 3600)),
        "bfd": st.none() | st.builds(Bfd, min_tx=st.integers(10, 5000), multiplier=st.integers(1, 50)),
        "password": st.none() | texts.filter(bool).map(Secret),
        "passive": st.booleans(),
        "ttl_security": st.booleans(),
        "multihop": st.none() | st.integers(1, 255),
        "allow_as_in": st.integers(0, 10),
        "channels": st.tuples(channels(Family.IPV4), channels(Family.IPV6)),
    }
)


@st.composite
def configs(draw: st.DrawFn) -> BirdConfig:
    mesh = mesh_session(1, 2, **draw(session_options))
    remote, local = draw(st.sampled_from([("10.0.0.9", "10.0.0.1"), ("fd00::9", "fd00::1")]))
    external = external_session("tor1", remote, 65001, local_address=ip_address(local), **draw(session_options))
    client = draw(st.booleans())
    mesh = replace(mesh, reflector_client=client, cluster_id="1.2.3.4" if client else None)
    config = node_config(1, (0,), mesh, external)
    filters = [
        replace(each, terms=draw(st.lists(terms(each.family), max_size=3).map(tuple)), accept_rest=draw(st.booleans()))
        for each in config.filters
    ]
    services = originated("services_web4", Family.IPV4, "10.96.0.1/32", origin=draw(texts))
    return replace(config, filters=tuple(filters), originated=(*config.originated, services))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs())
def test_a_generated_configuration_parses(birds: tuple[BirdProgram, ...], config: BirdConfig) -> None:
    for bird in birds:
        text = render(replace(config, version=bird.version)).text
        assert bird.check(text) == "", f"{bird}\n{text}"
