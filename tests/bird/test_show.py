"""`birdctl show …` and `birdctl explain route` on a node with real sessions, real routes and a real kernel.

n1 peers with the node n2, with the router tor1, which announces two prefixes of which one is allowed, and with tor2,
which is not there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.routing import inventory
from birdctl.routing.model import Attributes, Bfd, BirdConfig, Limit
from birdctl.routing.render import render
from birdctl.secret import Secret
from tests.birds import BirdProgram
from tests.configs import channel, external_session, mesh_session, node_config, originated, pattern, peer_filters
from tests.polling import eventually
from tests.routers import Router, routers

ALLOWED, REFUSED = "198.51.100.0/24", "203.0.113.0/24"
SERVICE = "10.96.0.10/32"

NO_ROUTES = ("unshare", "--net")
"""A network namespace in which the kernel has nothing."""

TOR1 = f"""
router id 10.9.0.9;
protocol device {{}}
protocol bfd {{ interface "*" {{ interval 300 ms; multiplier 20; }}; }}
protocol static {{ ipv4; route {ALLOWED} blackhole; route {REFUSED} blackhole; }}
protocol bgp n1 {{
  local 10.9.0.9 as 65001;
  neighbor 10.9.0.1 as 64512;
  bfd on;
  ipv4 {{ import all; export all; next hop self; }};
}}
"""


def n1_config(version: tuple[int, ...]) -> BirdConfig:
    limited = channel(Family.IPV4, "tor1", keep_filtered=True, import_limit=Limit(prefixes=50, action="block"))
    sessions = (
        mesh_session(1, 2),
        external_session("tor1", "10.9.0.9", 65001, bfd=Bfd(multiplier=20), channels=(limited,)),
        external_session("tor2", "10.9.0.8", 65002, password=Secret("hush")),
    )
    allowed = pattern(ip_network(ALLOWED))
    filters = (
        *peer_filters(
            "tor1", Family.IPV4, allowed, services=("services4",), attributes=Attributes(communities=((65001, 80),))
        ),
        *peer_filters("tor2", Family.IPV4),
    )
    config = node_config(1, version, *sessions, filters=filters)
    return replace(
        config, originated=(*config.originated, originated("services4", Family.IPV4, SERVICE, origin="Service web"))
    )


@dataclass(frozen=True)
class Scene:
    """n1, on which birdctl is run."""

    node: Router

    def run(self, *words: str, within: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "BIRDCTL_RUNTIME_DIR": str(self.node.folder),
            "BIRDCTL_BIRD_SOCKET": str(self.node.socket),
            "BIRDCTL_BIRD_CONFIG": str(self.node.daemon.config),
        }
        birdctl = [sys.executable, "-m", "birdctl", *words]
        command = [*within, *birdctl] if within else self.node.space.command(*birdctl)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    def says(self, *words: str) -> str:
        """What birdctl prints; all is well."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def rows(self, *words: str) -> list[str]:
        """A table's lines with single spaces, ages as AGE, and a session that is tried as Connect."""
        lines = self.says(*words).splitlines()
        return [" ".join(_steady(cell) for cell in line.split()) for line in lines]

    def items(self, *words: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.says(*words, "-o", "json"))["items"]
        return items


def _steady(text: str) -> str:
    """`text` without what differs from look to look."""
    text = re.sub(r"^\d+[smh](\d+s)?$", "AGE", text)
    return re.sub(r"\b(Active|Connect)\b( \(Socket: .*?\))?", "Connect", text)


@pytest.fixture(scope="module")
def scene(bird_version: BirdProgram) -> Iterator[Scene]:
    with routers(bird_version, bird_version, bird_version) as (n1, n2, tor1):
        n1.connect("eth0", n2, "eth0")
        n1.connect("eth1", tor1, "eth0")
        n1.address("eth0", "10.0.0.1/24", "fd00::1/64")
        n1.address("eth1", "10.9.0.1/24")
        n2.address("eth0", "10.0.0.2/24", "fd00::2/64")
        tor1.address("eth0", "10.9.0.9/24")
        start(n1, n1_config(bird_version.version))
        start(n2, node_config(2, bird_version.version, mesh_session(2, 1)))
        tor1.start(TOR1)
        eventually(lambda: n1.established("node_n2", "peer_tor1"))
        eventually(lambda: len(n1.kernel_routes(4)) == 2 and len(n1.kernel_routes(6)) == 1)
        eventually(lambda: "Up" in n1.lines("show bfd sessions"))
        yield Scene(n1)


def start(router: Router, config: BirdConfig) -> None:
    """As after a commit: BIRD runs it, and the inventory is there."""
    rendered = render(config)
    router.start(rendered.text)
    inventory.write(router.folder, inventory.from_config(config, rendered.digest))


def test_peers_as_a_table(scene: Scene) -> None:
    assert scene.rows("show", "peers") == [
        "NODE PEER ADDRESS AS TYPE STATE UPTIME RECV SENT BFD",
        "n1 n2 10.0.0.2 64512 mesh Established AGE 2 3 -",
        "n1 tor1 10.9.0.9 65001 external Established AGE 2 2 up",
        "n1 tor2 10.9.0.8 65002 external Connect - 0 0 -",
    ]


def test_peers_wide_have_a_row_for_each_family(scene: Scene) -> None:
    headers, *rows = (row.split() for row in scene.rows("show", "peers", "-o", "wide"))
    assert headers[10:] == ["LOCAL-AS", "FAMILY", "FILTERED", "LIMIT", "HOLD", "ROUTER-ID", "FLAPS", "LAST-ERROR"]
    found = [(row[1], row[7], row[8], *row[10:16]) for row in rows]
    assert found == [
        ("n2", "1", "2", "64512", "ipv4", "0", "-", "90", "10.0.0.2"),
        ("n2", "1", "1", "64512", "ipv6", "0", "-", "90", "10.0.0.2"),
        ("tor1", "2", "2", "64512", "ipv4", "1", "50", "90", "10.9.0.9"),
        ("tor2", "0", "0", "64512", "ipv4", "0", "-", "-", "-"),
    ]


def test_peers_as_json(scene: Scene) -> None:
    listed = json.loads(scene.says("show", "peers", "-o", "json"))
    assert (listed["apiVersion"], listed["kind"]) == ("birdctl.io/v1alpha1", "PeerList")
    tor1 = next(item for item in listed["items"] if item["peer"] == "tor1")
    assert tor1.pop("uptimeSeconds") < 60
    tor1.pop("flaps", None)  # BIRD 2.0.12 does not count them
    assert tor1 == {
        "node": "n1",
        "peer": "tor1",
        "type": "external",
        "state": "Established",
        "protocol": "peer_tor1",
        "address": "10.9.0.9",
        "remoteAs": 65001,
        "localAs": 64512,
        "holdTimeSeconds": 90,
        "routerId": "10.9.0.9",
        "bfd": "up",
        "families": {"ipv4": {"received": 2, "filtered": 1, "accepted": 1, "advertised": 2, "limit": 50}},
    }


def test_peers_as_yaml_are_those_of_json(scene: Scene) -> None:
    items = yaml.safe_load(scene.says("show", "peers", "-o", "yaml"))["items"]
    assert [item["peer"] for item in items] == ["n2", "tor1", "tor2"]


def test_peers_by_name(scene: Scene) -> None:
    assert scene.says("show", "peers", "-o", "name").split() == ["peer/n1/n2", "peer/n1/tor1", "peer/n1/tor2"]


def test_failed_peers_only(scene: Scene) -> None:
    assert [row.split()[1] for row in scene.rows("show", "peers", "--failed", "--no-headers")] == ["tor2"]


def test_a_node_can_be_named_and_another_one_is_not_here(scene: Scene) -> None:
    assert len(scene.rows("show", "peers", "--node", "n1")) == 4
    other = scene.run("show", "peers", "--node", "n2")
    assert other.returncode == 1
    assert other.stderr.count("\n") == 1


def test_routes_as_a_table(scene: Scene) -> None:
    assert scene.rows("show", "routes") == [
        "NODE PREFIX NEXT-HOP INTERFACE SOURCE PEER BEST INSTALLED",
        "n1 10.1.1.0/24 - - pod - true -",
        "n1 10.1.2.0/24 10.0.0.2 eth0 learned n2 true true",
        "n1 10.96.0.10/32 - - clusterIP - true -",
        "n1 198.51.100.0/24 10.9.0.9 eth1 learned tor1 true true",
        "n1 fd01:1::/64 - - pod - true -",
        "n1 fd01:2::/64 fd00::2 eth0 learned n2 true true",
    ]


def test_routes_wide(scene: Scene) -> None:
    headers, *rows = (row.split() for row in scene.rows("show", "routes", "-o", "wide"))
    assert headers[8:] == ["ORIGIN", "AS-PATH", "LOCAL-PREF", "MED", "COMMUNITIES", "PROTOCOL"]
    assert rows[1][8:] == ["n2", "-", "100", "-", "-", "node_n2"]
    assert rows[3][8:] == ["-", "65001", "100", "-", "-", "peer_tor1"]


def test_routes_as_json(scene: Scene) -> None:
    found = {item["prefix"]: item for item in scene.items("show", "routes")}
    assert found[ALLOWED] == {
        "node": "n1",
        "prefix": ALLOWED,
        "source": "learned",
        "protocol": "peer_tor1",
        "best": True,
        "installed": True,
        "nextHops": [{"address": "10.9.0.9", "interface": "eth1", "weight": 1}],
        "peer": "tor1",
        "asPath": [65001],
        "localPref": 100,
    }
    assert found[SERVICE] == {
        "node": "n1",
        "prefix": SERVICE,
        "source": "clusterIP",
        "protocol": "services4",
        "best": True,
        "originNode": "n1",
    }


def test_routes_that_the_kernel_does_not_have_are_not_installed(scene: Scene) -> None:
    found = scene.run("show", "routes", "-o", "json", within=NO_ROUTES)
    learned = [item for item in json.loads(found.stdout)["items"] if item["source"] == "learned"]
    assert [item["installed"] for item in learned] == [False, False, False]
    assert learned[1]["nextHops"] == [{"address": "10.9.0.9", "interface": "eth1", "weight": 1}]
    steps = scene.run("explain", "route", ALLOWED, within=NO_ROUTES).stdout
    assert re.search(r"kernel +no +no route, although BIRD has one: see BIRD's log\n", steps)


def test_advertisements_as_a_table(scene: Scene) -> None:
    lines = scene.says("show", "advertisements").splitlines()
    assert [re.split(r" {3,}", line) for line in lines] == [
        ["NODE", "PREFIX", "SOURCE", "ORIGIN", "ADVERTISED-TO", "WITHHELD"],
        ["n1", "10.1.1.0/24", "pod", "Node n1", "n2,tor1", "tor2"],
        ["n1", SERVICE, "clusterIP", "Service web", "tor1", "tor2"],
        ["n1", "fd01:1::/64", "pod", "Node n1", "n2", "-"],
    ]


def test_advertisements_as_json_say_why_a_peer_has_it_not(scene: Scene) -> None:
    found = {item["prefix"]: item for item in scene.items("show", "advertisements")}
    assert found[SERVICE] == {
        "node": "n1",
        "prefix": SERVICE,
        "source": "clusterIP",
        "protocol": "services4",
        "origins": ["Service web"],
        "advertisedTo": ["tor1"],
        "withheld": [{"peer": "tor2", "reason": found[SERVICE]["withheld"][0]["reason"]}],
    }
    assert _steady(found[SERVICE]["withheld"][0]["reason"]) == "its session is Connect"
    assert "withheld" not in found["fd01:1::/64"], "no other session carries IPv6"


def test_advertisements_wide_say_why(scene: Scene) -> None:
    headers, pods, service, six = scene.says("show", "advertisements", "-o", "wide").splitlines()
    assert headers.split()[-2:] == ["PROTOCOL", "REASON"]
    assert all("its session is Connect" in _steady(row) for row in (pods, service))
    assert six.split()[-2:] == ["pods6", "-"]


def test_bfd_sessions(scene: Scene) -> None:
    assert scene.rows("show", "bfd") == [
        "NODE PEER ADDRESS INTERFACE STATE SINCE",
        "n1 tor1 10.9.0.9 eth1 up AGE",
    ]
    assert scene.rows("show", "bfd", "-o", "wide")[0].endswith(" SINCE INTERVAL TIMEOUT")
    (session,) = scene.items("show", "bfd")
    assert {key: session[key] for key in ("node", "peer", "state")} == {"node": "n1", "peer": "tor1", "state": "up"}
    assert 0 < session["intervalSeconds"] < session["timeoutSeconds"]


def test_the_node_without_a_source_of_objects(scene: Scene) -> None:
    version = str(scene.node.bird)
    assert scene.rows("show", "nodes", "-o", "wide") == [
        "NODE ADDRESSES AS POD-CIDRS ROLE SESSIONS ROUTER-ID BIRD",
        f"n1 10.0.0.1 64512 10.1.1.0/24,fd01:1::/64 node 2/3 10.0.0.1 {version}",
    ]
    (node,) = scene.items("show", "nodes")
    assert node == {
        "node": "n1",
        "addresses": ["10.0.0.1"],
        "asn": 64512,
        "podCIDRs": ["10.1.1.0/24", "fd01:1::/64"],
        "sessions": {"established": 2, "configured": 3},
        "routerId": "10.0.0.1",
        "birdVersion": version,
    }


def test_the_status_without_an_agent_is_bird_s_alone_and_partial(scene: Scene) -> None:
    done = scene.run("show", "status", "-o", "json")
    assert done.returncode == 2
    assert done.stderr.startswith("birdctl: no agent answers on ")
    assert done.stderr.count("\n") == 1
    status = json.loads(done.stdout)
    assert (status["kind"], status["node"]) == ("Status", "n1")
    assert status["bird"]["version"] == str(scene.node.bird)
    assert "converged" not in status
    table = scene.run("show", "status")
    assert table.stdout.splitlines()[1].split()[:4] == ["n1", "-", "-", str(scene.node.bird)]
    assert "DIGEST" in scene.run("show", "status", "-o", "wide").stdout


def test_the_configuration_that_runs_without_its_passwords(scene: Scene) -> None:
    text = scene.says("show", "config")
    assert 'password "***";' in text
    assert "hush" not in text
    assert text.replace('"***"', '"hush"').rstrip() == scene.node.daemon.config.read_text().rstrip()
    (item,) = scene.items("show", "config")
    assert item["text"].rstrip() == text.rstrip()
    assert item["digest"] in text


def test_doctor_finds_this_bird_well(scene: Scene) -> None:
    found = {item["check"]: item for item in json.loads(scene.run("doctor", "-o", "json").stdout)["items"]}
    for check in ("BIRD", "BIRD runs", "port 179", "socket permissions", "IPv4 forwarding", "TCP MD5"):
        assert found[check]["result"] == "ok", found[check]
    assert found["agent"]["result"] == "warning"
    assert all("fix" in item for item in found.values() if item["result"] != "ok")
    table = scene.run("doctor")
    assert table.stdout.splitlines()[0].split() == ["CHECK", "RESULT", "FOUND", "FIX"]
    assert table.returncode == 0


def explained(scene: Scene, prefix: str) -> list[str]:
    """The steps of an explanation, `yes`, `no` or `-` first."""
    lines = scene.says("explain", "route", prefix).splitlines()
    return [_steady(re.sub(r" {3,}", " | ", line)) for line in lines]


def test_a_learned_route_is_explained(scene: Scene) -> None:
    assert explained(scene, ALLOWED) == [
        f"{ALLOWED} on node n1",
        "BIRD | yes | learned it from tor1 (external), best, next hop 10.9.0.9 dev eth1, AS path 65001",
        "kernel | yes | installed: via 10.9.0.9 dev eth1, metric 32",
        "n2 | yes | was sent it",
        "tor1 | no | was not sent it: it came from there",
        "tor2 | no | was not sent it: its session is Connect",
    ]


def test_a_refused_route_is_explained_by_the_filter_s_verdict(scene: Scene) -> None:
    lines = explained(scene, REFUSED)
    assert lines[1] == "BIRD | no | has no route for exactly this prefix"
    assert "tor1 | no | announces it, which is rejected: no term of filter tor1_in4 takes it" in lines
    assert "n2 | no | does not announce it" in lines
    assert "kernel | no | no route: BIRD has none" in lines


def test_a_service_address_is_explained(scene: Scene) -> None:
    lines = explained(scene, "10.96.0.10")
    assert lines[:2] == [
        f"{SERVICE} on node n1",
        "BIRD | yes | originates it (clusterIP) in services4, from Service web",
    ]
    assert "n2 | no | was not sent it: no term of filter mesh_out4 takes it" in lines
    assert "tor1 | yes | was sent it" in lines


def test_a_route_between_nodes_is_not_passed_on_to_nodes(scene: Scene) -> None:
    lines = explained(scene, "10.1.2.0/24")
    assert "tor1 | no | was not sent it: no term of filter tor1_out4 takes it" in lines
    assert "n2 | no | was not sent it: it came from there" in lines


def test_a_session_without_the_family_is_explained(scene: Scene) -> None:
    assert "tor1 | no | was not sent it: the session does not carry IPv6" in explained(scene, "fd01:2::/64")


def test_an_explanation_as_json(scene: Scene) -> None:
    found = json.loads(scene.says("explain", "route", "10.1.1.0/24", "-o", "json"))
    assert (found["kind"], found["node"], found["prefix"]) == ("RouteExplanation", "n1", "10.1.1.0/24")
    assert found["steps"][0] == {
        "subject": "BIRD",
        "holds": True,
        "text": "originates it (pod) in pods4, from Node n1",
    }


def test_watching_prints_what_changes(scene: Scene) -> None:
    environment = {
        **os.environ,
        "BIRDCTL_RUNTIME_DIR": str(scene.node.folder),
        "BIRDCTL_BIRD_SOCKET": str(scene.node.socket),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "birdctl", "show", "peers", "--watch", "--no-headers"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        try:
            first = [watching.stdout.readline().split()[1] for _ in range(3)]
            scene.node.ask("disable peer_tor2")
            changed = watching.stdout.readline().split()
        finally:
            scene.node.ask("enable peer_tor2")
            watching.terminate()
    assert first == ["n2", "tor1", "tor2"]
    assert (changed[1], changed[5]) == ("tor2", "Idle")
