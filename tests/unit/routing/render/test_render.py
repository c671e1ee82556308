"""From the model to the text of bird.conf: golden files, stability, secrets, and templates that only print."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from jinja2 import Environment, meta
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.errors import InputError
from birdctl.routing import render as renderer
from birdctl.routing.impact import impact
from birdctl.routing.model import (
    AddPaths,
    Attributes,
    Bfd,
    BirdConfig,
    GracefulRestart,
    Limit,
    NextHopSelf,
    PeerType,
    PrefixSet,
    Term,
)
from birdctl.routing.render import FILTERS, TEMPLATES, render
from birdctl.routing.statements import parse
from birdctl.secret import Secret
from tests.changes import neighbour, subject
from tests.configs import (
    channel,
    external_session,
    mesh_session,
    node_config,
    originated,
    pattern,
    peer_filters,
    with_session,
)

GOLDEN = Path(__file__).parent / "golden"
V2_0, V2_17, V3 = (2, 0, 12), (2, 17, 5), (3, 1, 7)


def everything(version: tuple[int, ...]) -> BirdConfig:
    """A configuration that uses every statement there is."""
    attributes = Attributes(
        communities=((65001, 80), (65535, 65281)),
        large_communities=((64512, 1, 2),),
        med=10,
        local_pref=200,
        prepend=(64512, 64512),
    )
    allowed = (pattern(ip_network("10.0.0.0/8"), 8, 24), pattern(ip_network("192.0.2.0/24")))
    channels = (
        channel(
            Family.IPV4,
            "tor1",
            next_hop_self=NextHopSelf.ALL,
            extended_next_hop=True,
            add_paths=AddPaths.BOTH,
            import_limit=Limit(prefixes=1000, action="block"),
            export_limit=Limit(prefixes=100, action="warn"),
        ),
        channel(Family.IPV6, "tor1", next_hop_address=ip_address("fd00::1"), keep_filtered=True),
    )
    tor = external_session(
        "tor1",
        "10.0.0.9",
        65001,
        local_address=ip_address("10.0.0.1"),
        strict_bind=True,
        multihop=2,
        ttl_security=True,
        password=Secret("it's secret"),
        bfd=Bfd(),
        graceful_restart=GracefulRestart(long_lived_stale_time=3600),
        allow_as_in=1,
        channels=channels,
    )
    client = mesh_session(1, 2, type=PeerType.CLIENT, reflector_client=True, cluster_id="0.0.0.1", passive=True)
    linked = external_session("tor2", "fe80::9", 65002, interface="eth1", channels=channels[1:], graceful_restart=None)
    unnumbered = replace(linked, name="peer_tor3", peer="tor3", origin="BGPPeer tor3", address=None, interface="eth2")
    services = originated("services_web4", Family.IPV4, "10.96.0.1/32", "10.96.0.2/32", origin="BGPAdvertisement web")
    filters = (
        *peer_filters("tor1", Family.IPV4, *allowed, services=("services_web4",), attributes=attributes),
        *peer_filters("tor1", Family.IPV6),
    )
    inside = (pattern(ip_network("10.1.0.0/16")), pattern(ip_network("0.0.0.0/0"), 0, 0))
    guarded = PrefixSet(name="guarded4", family=Family.IPV4, patterns=inside, comment="Not from outside")
    refused = Term(accept=False, prefixes=inside, prefix_set="guarded4")
    filters = tuple(
        replace(each, terms=(refused, *each.terms)) if each.name == "tor1_in4" else each for each in filters
    )
    config = node_config(1, version, client, tor, linked, unnumbered, filters=filters)
    return replace(config, prefix_sets=(guarded,), originated=(*config.originated, services))


CONFIGS = {
    "empty-node-2.0.12": node_config(1, V2_0),
    "mesh-2.0.12": node_config(1, V2_0, mesh_session(1, 2), mesh_session(1, 3)),
    "mesh-and-tor-2.0.12": subject(V2_0),
    "mesh-and-tor-3.1.7": subject(V3),
    "everything-2.0.12": everything(V2_0),
    "everything-2.17.5": everything(V2_17),
    "everything-3.1.7": everything(V3),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_text_is_that_of_the_golden_file(name: str, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{name}.conf"
    text = render(CONFIGS[name]).text
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_golden_file_belongs_to_a_configuration() -> None:
    assert {path.stem for path in GOLDEN.glob("*.conf")} == set(CONFIGS)


def test_equal_configurations_have_the_same_bytes() -> None:
    first, between, second = (render(each) for each in (subject(V2_0), neighbour(V2_0), subject(V2_0)))
    assert first == second != between


def test_a_kept_block_never_hides_a_change() -> None:
    before = render(subject(V2_0)).text
    changed = render(with_session(subject(V2_0), peer="other")).text
    assert changed.replace('"other"', '"n2"').splitlines()[3:] == before.splitlines()[3:]


def test_the_digest_is_defined_in_the_text_and_changes_with_it() -> None:
    one, two = render(subject(V2_0)), render(with_session(subject(V2_0), peer="other"))
    assert f'define BIRDCTL_DIGEST = "{one.digest}";' in one.text
    assert one.digest != two.digest


def test_a_rendered_text_does_not_show_its_passwords() -> None:
    rendered = render(everything(V2_0))
    assert "it's secret" in rendered.text
    assert "secret" not in repr(rendered)


def test_the_digest_changes_with_a_password() -> None:
    one, two = (render(with_session(subject(V2_0), password=Secret(text))) for text in ("one", "two"))
    assert one.digest != two.digest


def test_no_plain_hash_of_the_text_gives_a_password_away() -> None:
    """Whoever reads the digest can guess the text: a guessed password must cost more than a hash."""
    rendered = render(with_session(subject(V2_0), password=Secret("weak")))
    body = rendered.text.partition("\n\n")[2]
    assert 'password "weak";' in body
    assert hashlib.sha256(body.encode()).hexdigest()[:16] != rendered.digest


@pytest.mark.parametrize("evil", ['a"; disabled; #', "two\nlines", "null\0byte"])
@pytest.mark.parametrize("field", ["peer", "interface", "password"])
def test_a_text_that_bird_cannot_hold_is_refused_by_name(evil: str, field: str) -> None:
    value = Secret(evil) if field == "password" else evil
    with pytest.raises(InputError, match="Node n2") as error:
        render(with_session(subject(V2_0), **{field: value}))
    assert evil not in str(error.value)


def test_a_comment_stays_on_its_line() -> None:
    with pytest.raises(InputError, match="node_n2"):
        render(with_session(subject(V2_0), origin="Node n2\nprotocol bgp evil {}"))


def test_templates_of_a_folder_replace_those_of_birdctl(tmp_path: Path) -> None:
    template = TEMPLATES / "bird.conf.j2"
    (tmp_path / template.name).write_text(template.read_text().replace("scan time 10", "scan time 11"))
    assert "scan time 11" in render(subject(V2_0), tmp_path).text
    assert "scan time 11" not in render(subject(V2_0)).text


def test_only_the_first_process_compiles_the_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(TEMPLATES, tmp_path / "templates"))
    monkeypatch.setattr(renderer, "TEMPLATES", folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = renderer._Renderer((folder,)).render(subject(V2_0))
    monkeypatch.delattr(Environment, "compile")
    assert renderer._Renderer((folder,)).render(subject(V2_0)) == first


@pytest.mark.parametrize("broken", ["{% if %}", "{{ config.nonsense }}", "{{ nonsense }}"])
def test_a_broken_template_is_named(broken: str, tmp_path: Path) -> None:
    (tmp_path / "kernel.conf.j2").write_text(broken)
    with pytest.raises(InputError, match=r"template bird\.conf\.j2"):
        render(subject(V2_0), tmp_path)


def template_lines() -> Iterator[str]:
    for template in TEMPLATES.glob("*.j2"):
        yield from (line.strip() for line in template.read_text().splitlines() if line.strip())


def test_templates_print_and_do_not_decide() -> None:
    lines = list(template_lines())
    control = [line for line in lines if line.startswith("{%") and line.endswith("%}") and line.count("{%") == 1]
    assert len(control) / len(lines) <= 0.35
    assert not [line for line in lines if "{% set" in line or "{% macro" in line or "==" in line]


def test_templates_know_only_what_they_are_given() -> None:
    given = {"config", "block", "digest", "family", "originated", "filter", "session", "channel", "has_authentication"}
    parser = Environment(autoescape=False)
    parser.filters.update(FILTERS)
    found = {
        name
        for template in TEMPLATES.glob("*.j2")
        for name in meta.find_undeclared_variables(parser.parse(template.read_text()))
    }
    assert found <= given


def big(services: int) -> BirdConfig:
    """500 peers, each with filters of its own, and so many service addresses."""
    base = subject(V2_0)
    tor = base.sessions[1]
    names = [f"tor{number}" for number in range(500)]
    sessions = tuple(
        replace(tor, name=f"peer_{name}", peer=name, channels=(channel(Family.IPV4, name),)) for name in names
    )
    filters = tuple(each for name in names for each in peer_filters(name, Family.IPV4, services=("services_web4",)))
    prefixes = (f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}/32" for number in range(services))
    web = originated("services_web4", Family.IPV4, *prefixes)
    return replace(base, sessions=sessions, filters=filters, originated=(*base.originated[:2], web))


def test_one_more_service_among_500_peers_is_one_more_prefix():
    one, two = big(2000), big(2001)
    two = replace(two, sessions=one.sessions, filters=one.filters)
    found = impact(render(one).text, render(two).text, V2_0)
    assert [str(each.prefix) for each in found.added] == ["10.96.7.208/32"]
    assert not found.withdrawn


def test_statements_read_back_what_was_written() -> None:
    text = render(everything(V2_0)).text
    names = [str(each) for each in parse(text)]
    assert names[0].startswith("define BIRDCTL_DIGEST")
    assert {"protocol bgp node_n2", "protocol static services_web4", "filter tor1_out4"} <= set(names)
