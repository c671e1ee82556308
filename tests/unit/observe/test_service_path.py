"""Why a Service does or does not work: the steps from its object to the peers, without a kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.observe import service_objects, service_path
from birdctl.observe.service_path import Kernel, Seen
from birdctl.routing.compile.services import UNPROGRAMMED, Considered
from birdctl.services.model import ServiceState
from birdctl.services.rules import RuleCompiler, ServiceRules
from tests.unit.services.compile.build import N1, N2, compiler, endpoints, pool, service

WORDS = {True: "yes", False: "no", None: "-"}


def described(*objects, key="default/web", nodes=(N1, N2), problems=(), **options):
    """What the objects say on n1, and the state that they make."""
    cluster = Cluster.of(*nodes, *objects)
    compiling = compiler(**options)
    result = compiling.compile(cluster)
    found = service_objects.describe(
        cluster,
        key,
        node="n1",
        options=compiling._options,
        part=result.services.get(key),
        state=result.state,
        problems=(*result.problems, *problems),
    )
    return found, result.state, compiling._options


def told(steps, *subjects):
    return [f"{WORDS[each.holds]} {each.text}" for each in steps if each.subject in subjects]


def steps(*objects, subjects, **how):
    return told(described(*objects, **how)[0].steps, *subjects)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (service(), "- type ClusterIP, http 80/TCP to 80"),
        (service(node_ports=[30080]), "- type NodePort, http 80/TCP to 80, node port 30080"),
        (service(ports=[{"port": 53, "protocol": "UDP", "targetPort": "dns"}]), "- type ClusterIP, 53/UDP to dns"),
        (service(cluster=["None"]), "no nothing is served: it is headless"),
        (service(type="ExternalName", cluster=[]), "no nothing is served: it is a name only (type ExternalName)"),
        (
            service(labels={"service.kubernetes.io/service-proxy-name": "other"}),
            "no nothing is served: it is for the proxy 'other'",
        ),
    ],
)
def test_the_service_itself_comes_first(found, text) -> None:
    assert steps(found, subjects=["service"]) == [text]


@pytest.mark.parametrize(
    ("objects", "texts"),
    [
        ([service()], ["yes ClusterIP 10.96.0.1"]),
        ([service(externalIPs=["198.51.100.7"])], ["yes ClusterIP 10.96.0.1", "yes ExternalIP 198.51.100.7"]),
        (
            [service(ingress=["192.0.2.7"]), pool("public", "192.0.2.0/26")],
            ["yes ClusterIP 10.96.0.1", "yes LoadBalancerIP 192.0.2.7, of AddressPool public"],
        ),
        (
            [service(ingress=["192.0.2.7"])],
            ["yes ClusterIP 10.96.0.1", "yes LoadBalancerIP 192.0.2.7, of --loadbalancer-ip-range"],
        ),
        (
            [service(type="LoadBalancer")],
            ["yes ClusterIP 10.96.0.1", "no nobody has given it a load balancer address yet"],
        ),
        (
            [service(node_ports=[30080])],
            ["yes ClusterIP 10.96.0.1", "yes NodePort 172.16.0.1"],
        ),
    ],
)
def test_each_address_says_where_it_comes_from(objects, texts) -> None:
    assert steps(*objects, subjects=["address"]) == texts


def test_an_address_of_no_pool_says_so_where_validation_is_off() -> None:
    found = service(ingress=["203.0.113.7"])
    assert "yes LoadBalancerIP 203.0.113.7, of no pool" in steps(
        found, subjects=["address"], strict_external_ip_validation=False
    )


def test_what_strict_validation_refuses_is_a_problem() -> None:
    found = steps(service(externalIPs=["203.0.113.7", "10.96.0.9"]), subjects=["problem"])
    assert found == [
        "no spec.externalIPs[0]: 203.0.113.7 lies in none of --service-external-ip-range: not served",
        "no spec.externalIPs[1]: 10.96.0.9 lies in --service-cluster-ip-range: not served",
    ]


def test_problems_of_its_slices_are_told_with_their_names_and_those_of_others_are_not() -> None:
    other = InputError("Service default/other", "spec.ports", "wrong")
    found = steps(service(), endpoints("web", "10.1.1.2", "127.0.0.1"), subjects=["problem"], problems=[other])
    assert len(found) == 1
    assert found[0].startswith("no EndpointSlice default/web-1: endpoints[1].addresses[0]: 127.0.0.1 is")


def test_what_another_service_has_already_is_a_problem() -> None:
    first = service("a", cluster=["10.96.0.2"], externalIPs=["198.51.100.7"])
    found = steps(first, service(externalIPs=["198.51.100.7"]), subjects=["problem"])
    assert found == [
        "no spec.externalIPs: 198.51.100.7 80/TCP is served for Service default/a already: not for this one"
    ]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (service(), "scheduler rr"),
        (
            service(annotations={"service.scheduler": "mh", "service.schedflags": "mh-port"}),
            "scheduler mh (flag-1, flag-2)",
        ),
        (service(sessionAffinity="ClientIP"), "scheduler rr, a client keeps its endpoint for 10800 s"),
        (
            service(externalTrafficPolicy="Local", internalTrafficPolicy="Local"),
            "scheduler rr, external traffic stays on this node, internal traffic stays on this node",
        ),
        (service(annotations={"service.dsr": "tunnel"}), "scheduler rr, endpoints answer clients directly"),
        (service(trafficDistribution="PreferClose"), "scheduler rr, traffic distribution PreferClose"),
    ],
)
def test_policies_are_said_in_words(found, text) -> None:
    assert steps(found, subjects=["policy"]) == [f"- {text}"]


@pytest.mark.parametrize(
    ("spec", "texts", "expected"),
    [
        ({}, ["10.1.1.2", "10.1.2.2 on=n2"], ["yes 2 serve: 10.1.1.2 (n1), 10.1.2.2 (n2)"]),
        ({}, [], ["no no EndpointSlice names any"]),
        (
            {},
            ["10.1.1.2 pod=a", "10.1.1.3 unready", "10.1.1.4 serving"],
            [
                "yes 1 serve: 10.1.1.2 (default/a on n1)",
                "no 1 not ready: 10.1.1.3 (n1)",
                "no 1 drain, on their way out: 10.1.1.4 (n1)",
            ],
        ),
        (
            {"internalTrafficPolicy": "Local"},
            ["10.1.1.2", "10.1.2.2 on=n2"],
            ["yes 1 serve: 10.1.1.2 (n1)", "no 1 on other nodes, and traffic stays local: 10.1.2.2 (n2)"],
        ),
        (
            {"externalIPs": ["198.51.100.7"], "externalTrafficPolicy": "Local"},
            ["10.1.1.2", "10.1.2.2 on=n2"],
            ["yes 1 serve at ClusterIP alone: 10.1.2.2 (n2)", "yes 1 serve: 10.1.1.2 (n1)"],
        ),
        (
            {},
            ["10.1.1.2 zones=a", "10.1.2.2 on=n2 zones=b"],
            ["yes 1 serve: 10.1.1.2 (n1)", "no 1 meant for other nodes or zones: 10.1.2.2 (n2)"],
        ),
        (
            {},
            ["fd00:1:1::2"],
            ["no 1 not used: the service has no IPv6 address here: fd00:1:1::2 (n1)"],
        ),
        (
            {},
            [f"10.1.1.{number}" for number in range(2, 12)],
            [f"yes 10 serve: {', '.join(f'10.1.1.{number} (n1)' for number in range(2, 10))} and 2 more"],
        ),
    ],
)
def test_every_endpoint_serves_or_has_a_reason_not_to(spec, texts, expected) -> None:
    assert steps(service(**spec), endpoints("web", *texts), subjects=["endpoints"]) == expected


def test_a_named_port_that_no_slice_has_is_left_out() -> None:
    found = steps(service(), endpoints("web", "10.1.1.2", ports=["other:8080"]), subjects=["left out", "endpoints"])
    assert found == [
        "no port http (80/TCP): no EndpointSlice has a port of this name and protocol",
        "no 1 without a port of the service's: 10.1.1.2 (n1)",
    ]


def test_of_a_thousand_ports_the_first_are_named() -> None:
    found = steps(service(ports=[f"p{number}:{number}" for number in range(1, 1001)]), subjects=["service", "left out"])
    assert [each.partition("p8 8")[2] for each in found[:1]] == ["/TCP to 8 and 992 more"]
    assert [each.partition("p8 (8/TCP)")[2] for each in found[1:]] == [
        " and 992 more: no EndpointSlice has a port of this name and protocol"
    ]


def test_without_a_local_endpoint_the_cluster_alone_is_answered() -> None:
    found = service(externalIPs=["198.51.100.7"], externalTrafficPolicy="Local")
    texts = steps(found, endpoints("web", "10.1.2.2 on=n2"), subjects=["policy"])
    assert texts[1] == (
        "no 198.51.100.7:80/TCP answers the cluster's own alone: its traffic stays local, and no endpoint is here"
    )


def test_a_service_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="there is no Service default/other"):
        described(service(), key="default/other")


# Kernel.

WEB = (service(externalIPs=["198.51.100.7"]), endpoints("web", "10.1.1.2", "10.1.2.2 on=n2"))


def kernel(state: ServiceState, options) -> Kernel:
    """Everything as it should be."""
    rules = RuleCompiler(options).compile(state)
    return Kernel(servers=state.virtual_servers, vips=state.addresses, own=state.node_addresses, rules=rules)


def explained(change=lambda kernel: kernel, objects=WEB):
    found, state, options = described(*objects)
    return service_path.explain(found, Seen(kernel=change(kernel(state, options))))


def test_a_kernel_that_has_all_of_it_agrees() -> None:
    found = explained()
    assert found.agrees
    assert told(found.steps, "IPVS", "VIP", "rules") == [
        "yes 10.96.0.1 80/TCP: rr, masquerade, 2 serve",
        "yes 198.51.100.7 80/TCP: rr, masquerade, 2 serve",
        "yes 10.96.0.1 is held by the node",
        "yes 198.51.100.7 is held by the node",
        "yes let it in, and masquerade what would not come back",
    ]


def test_a_kernel_that_refuses_what_has_no_endpoint_agrees() -> None:
    assert explained(objects=[service(externalIPs=["198.51.100.7"])]).agrees


def without_sets(kernel: Kernel) -> Kernel:
    return replace(kernel, rules=ServiceRules(tables=kernel.rules.tables, sets={}))


def without_tables(kernel: Kernel) -> Kernel:
    return replace(kernel, rules=ServiceRules(tables={}, sets=kernel.rules.sets))


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (
            lambda kernel: replace(kernel, servers={}),
            [
                "DISAGREE: 10.96.0.1 80/TCP: it is not in the kernel",
                "DISAGREE: 198.51.100.7 80/TCP: it is not in the kernel",
            ],
        ),
        (
            lambda kernel: replace(kernel, vips=frozenset({ip_address("10.96.0.1")})),
            ["DISAGREE: the node does not hold 198.51.100.7"],
        ),
        (
            without_sets,
            [
                "DISAGREE: 10.96.0.1 is not in ipset birdsvc-vips4",
                "DISAGREE: 198.51.100.7 is not in ipset birdsvc-vips4",
                "DISAGREE: 10.96.0.1 80/tcp is not in ipset birdsvc-ports4",
                "DISAGREE: 198.51.100.7 80/tcp is not in ipset birdsvc-ports4",
            ],
        ),
        (
            without_tables,
            [
                "DISAGREE: nothing leads to BIRDSVC-INPUT in IPv4 table filter",
                "DISAGREE: nothing leads to BIRDSVC-POSTROUTING in IPv4 table nat",
            ],
        ),
    ],
)
def test_what_the_kernel_lacks_is_said_aloud(change, texts) -> None:
    found = explained(change)
    assert found.agrees is False
    assert [each.text for each in found.steps if each.text.startswith("DISAGREE")] == texts


def test_an_address_that_another_interface_has_is_as_good() -> None:
    found = explained(lambda kernel: replace(kernel, vips=frozenset(), own=kernel.own | kernel.vips))
    assert found.agrees
    assert "yes 198.51.100.7 is an address of the node itself" in told(found.steps, "VIP")


def test_direct_server_return_has_its_mark_and_its_rules() -> None:
    objects = (
        service(ports=["http:8080"], annotations={"service.dsr": "tunnel"}, externalIPs=["198.51.100.7"]),
        endpoints("web", "10.1.1.2"),
    )
    assert explained(objects=objects).agrees
    assert "yes 198.51.100.7 8080/TCP: rr, tunnel, 1 serve" in told(explained(objects=objects).steps, "IPVS")
    texts = [each.text for each in explained(without_tables, objects).steps]
    assert "DISAGREE: nothing leads to BIRDSVC-DIRECT in IPv4 table mangle" in texts
    texts = [each.text for each in explained(without_sets, objects).steps]
    assert "DISAGREE: 198.51.100.7 8080/tcp is not in ipset birdsvc-direct4" in texts


def test_a_kernel_that_cannot_be_read_and_a_node_out_of_reach_are_no_disagreement() -> None:
    found, _, _ = described(*WEB)
    unreadable = service_path.explain(found, Seen(kernel="the kernel has no IPVS"))
    assert (unreadable.agrees, told(unreadable.steps, "kernel")) == (None, ["- cannot be read: the kernel has no IPVS"])
    far = service_path.explain(found, None)
    assert (far.agrees, told(far.steps, "kernel")) == (None, ["- not looked at: ask on n1 itself, or with --lab"])


# BGP.


def considered(reason="", rules=("web",)):
    address = ip_address("198.51.100.7")
    return Considered(kind="ExternalIP", address=address, rules=frozenset(rules), reason=reason)


@pytest.mark.parametrize(
    ("decided", "held_down", "text"),
    [
        (considered("no rule asks", ()), {}, "- 198.51.100.7 is not announced: no rule asks"),
        (considered("no endpoint is ready"), {}, "no 198.51.100.7 is not announced: no endpoint is ready"),
        (considered(UNPROGRAMMED), {}, "no 198.51.100.7 is not announced: this node does not serve it yet"),
        (
            considered(UNPROGRAMMED),
            {"default/web": 3.2},
            "no 198.51.100.7 is not announced: it was withdrawn a moment ago, and may be announced again in 3 s",
        ),
        (
            considered(rules=("", "web")),
            {},
            "no 198.51.100.7 is asked for by the defaults and BGPAdvertisement web, and BIRD does not announce it yet",
        ),
    ],
)
def test_why_an_address_is_not_announced(decided, held_down, text) -> None:
    found, state, options = described(*WEB)
    found = service_objects.with_routing(found, [decided], held_down)
    seen = Seen(kernel=kernel(state, options))
    (said,) = told(service_path.explain(found, seen).steps, "BGP")
    assert said.startswith(text)


def test_without_routing_and_without_bird_it_says_so() -> None:
    found, state, options = described(*WEB)
    there = kernel(state, options)
    assert told(service_path.explain(found, Seen(kernel=there)).steps, "BGP") == [
        "- this agent does no routing (--run-router)"
    ]
    found = service_objects.with_routing(found, [considered()], {})
    assert told(service_path.explain(found, Seen(kernel=there, routes="BIRD is gone")).steps, "BGP") == [
        "- cannot be read: BIRD is gone"
    ]
