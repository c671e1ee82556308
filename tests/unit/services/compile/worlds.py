"""Random objects that meet: few names, few addresses, a good part of them bad."""

from __future__ import annotations

from hypothesis import strategies as st

from birdctl.services.model import Scheduler
from tests.unit.services.compile.build import endpoints, node, pod, pool, service

NAMES = ["a", "b", "c"]
CLUSTER = ["10.96.0.1", "10.96.0.2", "10.96.0.3", "fd00:96::1", "fd00:96::2", "None"]
EXTERNAL = ["198.51.100.1", "198.51.100.2", "2001:db8:e::1", "172.16.0.2", "172.16.0.1", "10.96.0.2", "none"]
INGRESS = ["192.0.2.1", "192.0.2.2", "203.0.113.1", {"ip": "192.0.2.3", "ipMode": "Proxy"}, {"hostname": "x.org"}]
ENDPOINTS = ["10.1.1.2", "10.1.1.3", "10.1.2.2", "172.16.0.2", "nobody", "127.0.0.1"]
ENDPOINTS_6 = ["fd00:1:1::2", "fd00:1:2::2"]
PORTS = ["http:80", "http:8080", "https:443", "dns:53/UDP", ":80", "bad:0", "http:80/SCTP"]
NUMBERS = ["http:80", "http:8080", "https:443", "dns:5353/UDP", ":8080", "bad:0"]
WORDS = {
    "service.scheduler": ["mh", "sh", "fastest"],
    "service.schedflags": ["mh-port", "flag-1", "x"],
    "service.dsr": ["tunnel", "x"],
    "service.local": ["true", "false"],
    "service.hairpin": [""],
    "service.hairpin.externalips": [""],
    "service.skiplbips": [""],
}
LABELS = [{}, {}, {}, {"service.kubernetes.io/headless": ""}, {"service.kubernetes.io/service-proxy-name": "x"}]


def some(items, most=2):
    return st.lists(st.sampled_from(items), max_size=most, unique_by=str)


policies = st.sampled_from(["Cluster", "Cluster", "Local"])

services = st.builds(
    service,
    st.sampled_from(NAMES),
    some(CLUSTER),
    ports=some(PORTS, 3),
    externalIPs=some(EXTERNAL),
    ingress=some(INGRESS),
    node_ports=some([30080, 30081, 99], 1),
    annotations=st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in WORDS.items()}),
    labels=st.sampled_from(LABELS),
    loadBalancerSourceRanges=some(["10.0.0.0/8", "2001:db8::/32", "x"]),
    internalTrafficPolicy=policies,
    externalTrafficPolicy=policies,
    healthCheckNodePort=st.sampled_from([0, 0, 32000, 32001]),
    sessionAffinity=st.sampled_from(["None", "ClientIP", "x"]),
    publishNotReadyAddresses=st.booleans(),
    trafficDistribution=st.sampled_from(["", "PreferClose", "PreferSameNode"]),
)


@st.composite
def slices(draw):
    addresses = draw(st.sampled_from([ENDPOINTS, ENDPOINTS_6]))
    lines = draw(
        st.lists(
            st.builds(
                "{} {} on={} {}".format,
                st.sampled_from(addresses),
                st.sampled_from(["ready", "ready", "nil", "unready", "serving", "ending"]),
                st.sampled_from(["n1", "n2"]),
                st.sampled_from(["", "pod=p", "pod=q", "zones=a", "zones=b nodes=n1", "in=a"]),
            ),
            max_size=4,
        )
    )
    return endpoints(
        draw(st.sampled_from([*NAMES, "ghost", ""])),
        *lines,
        ports=draw(some(NUMBERS, 3)),
        name=draw(st.sampled_from(["s1", "s2", "s3", "s4"])),
        labels=draw(st.sampled_from(LABELS)),
        family="IPv6" if addresses is ENDPOINTS_6 else draw(st.sampled_from(["IPv4", "IPv4", "FQDN"])),
    )


nodes = st.one_of(
    st.builds(
        node,
        st.just("n1"),
        st.sampled_from(["172.16.0.1", "198.51.100.1"]),
        pods=some(["10.1.1.0/24", "fd00:1:1::/64"]),
        zone=st.sampled_from(["a", "b", ""]),
    ),
    st.builds(node, st.just("n2"), st.sampled_from(["172.16.0.2", "198.51.100.2"]), pods=some(["10.1.2.0/24"])),
)
pods = st.builds(pod, st.sampled_from(["p", "q"]), st.sampled_from([10, 60]))
pools = st.builds(pool, st.just("public"), st.sampled_from(["203.0.113.0/24", "10.97.0.0/16", "x"]))
objects = st.one_of(services, services, slices(), slices(), nodes, pods, pools)
worlds = st.lists(objects, max_size=12, unique_by=lambda item: (item.kind, item.key))
options = st.fixed_dictionaries(
    {},
    optional={
        "strict_external_ip_validation": st.booleans(),
        "ipvs_graceful_termination": st.booleans(),
        "hairpin_mode": st.booleans(),
        "enable_ipv6": st.booleans(),
        "ipvs_scheduler": st.sampled_from(Scheduler),
        "nodeport_bindon_all_ip": st.booleans(),
    },
)
