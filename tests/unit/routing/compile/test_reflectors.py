"""Route reflectors: by annotation, by selector, chosen automatically."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.routing.model import PeerType
from tests.unit.routing.build import NOW, bgp_configuration, compiled, node, problems, selector, sessions
from tests.unit.routing.walk import imports

ZONE = "topology.kubernetes.io/zone"


def ago(seconds: float) -> str:
    return dt.datetime.fromtimestamp(NOW - seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def roles(*cluster, on, **options):
    """What each session of `on` is for."""
    return {name: each.type.value for name, each in sessions(compiled(*cluster, on=on, **options)).items()}


def annotated(name, number, **roles_):
    return node(
        name, f"10.0.0.{number}", pods=f"10.1.{number}.0/24", annotations={f"rr.{k}": v for k, v in roles_.items()}
    )


@pytest.fixture
def cluster():
    """Two reflectors, two clients, and a node that is neither."""
    return [
        annotated("r1", 1, server="1"),
        annotated("r2", 2, server="0.0.0.1"),
        annotated("c1", 3, client="1"),
        annotated("c2", 4, client="0.0.0.1"),
        annotated("plain", 5),
    ]


def test_clients_peer_with_their_reflectors_alone(cluster):
    assert roles(*cluster, on="c1") == {"r1": "reflector", "r2": "reflector"}


def test_reflectors_reflect_to_clients_and_are_meshed_among_themselves_and_with_the_rest(cluster):
    assert roles(*cluster, on="r1") == {"r2": "mesh", "c1": "client", "c2": "client", "plain": "mesh"}
    assert roles(*cluster, on="plain") == {"r1": "mesh", "r2": "mesh"}


def test_a_number_and_an_ipv4_address_are_the_same_cluster_id(cluster):
    found = sessions(compiled(*cluster, on="r2"))

    assert {each.cluster_id for each in found.values()} == {"0.0.0.1"}
    assert [name for name, each in sorted(found.items()) if each.reflector_client] == ["c1", "c2"]


def test_cluster_ids_are_compared():
    cluster = [annotated("r1", 1, server="1"), annotated("r2", 2, server="2"), annotated("c", 3, client="2")]

    assert roles(*cluster, on="c") == {"r2": "reflector"}
    assert roles(*cluster, on="r1") == {"r2": "mesh"}


def test_a_reflector_can_be_the_client_of_others():
    cluster = [
        annotated("top", 1, server="1"),
        annotated("middle", 2, server="2", client="1"),
        annotated("leaf", 3, client="2"),
    ]

    assert roles(*cluster, on="middle") == {"top": "reflector", "leaf": "client"}
    assert roles(*cluster, on="leaf") == {"middle": "reflector"}


def test_a_bad_cluster_id_is_reported_and_the_node_stays_in_the_mesh():
    cluster = [annotated("a", 1, server="one"), annotated("b", 2)]

    assert roles(*cluster, on="a") == {"b": "mesh"}
    (problem,) = problems(compiled(*cluster, on="a"))
    assert problem.startswith("Node a: metadata.annotations[birdctl.io/rr.server]: 'one' is not a cluster ID")


def test_reflectors_hold_what_other_nodes_hold_back():
    """kube-router's reflectors have no import policy at all (D11)."""
    result = compiled(annotated("r1", 1, server="1"), annotated("c", 2, client="1"), on="r1")
    assert not imports(result, "c", "10.1.1.0/24")
    assert not imports(result, "c", "10.96.0.1/32")
    assert imports(result, "c", "10.1.2.0/24")


def racks(count, per_rack=3):
    return [
        node(
            f"n{i:02}",
            f"10.0.{i // 250}.{i % 250 + 1}",
            pods=f"10.1.{i}.0/24",
            labels={ZONE: f"zone{i // per_rack}", "role": "rr" if i < 2 else "no"},
        )
        for i in range(count)
    ]


def automatic(count, **fields):
    return bgp_configuration(topology="RouteReflectors", routeReflectors={"count": count, **fields})


def reflectors(*objects, now=NOW):
    """The reflectors, as every node of the cluster sees them; they must agree."""
    names = {each.name for each in objects if each.kind == "Node"}
    seen = set()
    for on in names:
        found = roles(*objects, on=on, now=now)
        mine = frozenset({on}) if "client" in found.values() else frozenset()
        seen.add(mine | {name for name, role in found.items() if role == ("mesh" if mine else "reflector")})
    assert len(seen) == 1
    return next(iter(seen))


def test_selected_nodes_reflect_for_all_others():
    configuration = bgp_configuration(
        topology="RouteReflectors", routeReflectors={"nodeSelector": selector(role="rr"), "clusterID": "7"}
    )

    assert reflectors(configuration, *racks(6)) == {"n00", "n01"}
    found = sessions(compiled(configuration, *racks(6), on="n00"))
    assert found["n01"].type is PeerType.MESH
    assert {each.cluster_id for each in found.values()} == {"0.0.0.7"}


def test_without_a_cluster_id_each_reflector_has_its_own_router_id_as_such():
    found = sessions(compiled(automatic(2), *racks(6), on="n00"))

    assert {each.cluster_id for each in found.values()} == {None}


def test_a_selector_without_nodes_falls_back_to_the_mesh_and_is_reported():
    configuration = bgp_configuration(
        topology="RouteReflectors", routeReflectors={"nodeSelector": selector(role="none")}
    )

    assert set(roles(configuration, *racks(3), on="n00").values()) == {"mesh"}
    assert problems(compiled(configuration, *racks(3), on="n00")) == [
        "BGPConfiguration default: spec.routeReflectors: selects no node: full mesh instead"
    ]


def test_annotations_do_not_add_to_what_the_cluster_object_chooses():
    cluster = [
        automatic(1),
        annotated("a", 1, server="1"),
        annotated("b", 2, server="1"),
        annotated("c", 3, client="9"),
    ]

    assert len(reflectors(*cluster)) == 1


def test_automatic_reflectors_are_spread_over_zones():
    chosen = reflectors(automatic(3), *racks(9))

    assert len(chosen) == 3
    assert {int(name[1:]) // 3 for name in chosen} == {0, 1, 2}


def test_automatic_reflectors_may_be_spread_by_another_label():
    cluster = [node(f"n{i}", f"10.0.0.{i + 1}", labels={"rack": str(i % 2)}) for i in range(6)]

    assert {int(name[1:]) % 2 for name in reflectors(automatic(2, spreadBy="rack"), *cluster)} == {0, 1}


def test_fewer_nodes_than_reflectors_is_a_mesh_of_reflectors():
    assert roles(automatic(5), *racks(3), on="n00") == {"n01": "mesh", "n02": "mesh"}


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 14), st.integers(1, 4), st.integers(0, 13))
def test_a_node_that_leaves_moves_at_most_its_own_place(size, count, leaving):
    cluster = racks(size)
    before = reflectors(automatic(count), *cluster)
    gone = cluster.pop(leaving % size)
    after = reflectors(automatic(count), *cluster)
    if gone.name in before:
        assert len(before - after - {gone.name}) <= 1
    else:
        assert len(before - after) <= 1


def test_a_reflector_keeps_its_place_while_it_is_not_ready_for_a_moment():
    cluster = racks(6)
    chosen = reflectors(automatic(2), *cluster)
    victim = min(chosen)
    shaken = [_not_ready(each, 30) if each.name == victim else each for each in cluster]

    result = compiled(automatic(2), *shaken, on="n00")
    assert reflectors(automatic(2), *shaken) == chosen
    assert result.recheck_at == NOW + 30


def test_a_reflector_that_stays_away_is_replaced():
    cluster = racks(6)
    chosen = reflectors(automatic(2), *cluster)
    victim = min(chosen)
    broken = [_not_ready(each, 61) if each.name == victim else each for each in cluster]

    after = reflectors(automatic(2), *broken)
    assert victim not in after
    assert len(after & chosen) == 1
    assert compiled(automatic(2), *broken, on="n00").recheck_at is None


def test_when_no_node_is_ready_the_choice_stays():
    cluster = racks(6)

    broken = [_not_ready(each, 500) for each in cluster]
    assert reflectors(automatic(2), *broken) == reflectors(automatic(2), *cluster)


def test_a_reflector_has_every_family_there_is_to_reflect():
    single = [node(f"s{i}", f"10.0.0.{i + 1}") for i in range(8)]
    dual = [node(f"d{i}", f"10.0.1.{i + 1}", f"fd00::{i + 1}") for i in range(2)]

    assert reflectors(automatic(2), *single, *dual) == {"d0", "d1"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "expected one of nodeSelector and count"),
        ({"count": 2, "nodeSelector": {}}, "expected one of nodeSelector and count"),
        ({"count": 0}, "0 is not between 1 and 1000"),
        ({"count": 2, "clusterID": "x"}, "'x' is not a cluster ID"),
    ],
)
def test_what_cannot_be_chosen_leaves_the_mesh(spec, problem):
    result = compiled(bgp_configuration(topology="RouteReflectors", routeReflectors=spec), *racks(3), on="n00")

    assert {each.type for each in result.config.sessions} == {PeerType.MESH}
    assert problem in problems(result)[0]


def _not_ready(each, seconds):
    conditions = node("x", not_ready_since=ago(seconds)).status.conditions
    return msgspec.structs.replace(each, status=msgspec.structs.replace(each.status, conditions=conditions))
