"""Everything that can be set: one frozen value from flags, environment, a YAML file and defaults, in that order.

The fields of `Settings` are the whole table: name, type, default, group, help, and whether a change of the file takes
effect without a restart (`live`). A field `cluster_asn` is the flag `--cluster-asn`, the variable
`BIRDCTL_CLUSTER_ASN` and the key `cluster-asn` of the file. Names and meanings are kube-router's wherever the thing is
the same.
"""

# ruff: noqa: RUF009 - the defaults are declarations

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from birdctl import values
from birdctl.addresses import Address, Prefix, parse_prefix
from birdctl.errors import InputError
from birdctl.secret import Secret

if TYPE_CHECKING:
    from birdctl.policies.options import PolicyOptions
    from birdctl.routing.options import RoutingOptions

_SPECIFICATION = "birdctl.setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the table. `names` without dashes, the first is the field's own; `variables` likewise."""

    field: str
    kind: values.Kind[Any]
    group: str
    help: str
    default: Any
    live: bool
    names: tuple[str, ...]
    variables: tuple[str, ...]

    @property
    def flag(self) -> str:
        return f"--{self.names[0]}"

    @property
    def shown_default(self) -> str:
        return self.kind.show(self.default)


def _setting(
    default: Any,
    kind: values.Kind[Any],
    group: str,
    text: str,
    *,
    live: bool = False,
    also: tuple[str, ...] = (),
    also_variables: tuple[str, ...] = (),
) -> Any:
    specification = (kind, group, text, live, also, also_variables)
    return dataclasses.field(default=default, metadata={_SPECIFICATION: specification})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process. `load` is the way to make one; the constructor serves tests."""

    config: Path | None = _setting(
        None, values.FILE, "Source", "YAML file with any of these settings, re-read when it changes"
    )
    node: str = _setting(
        "",
        values.TEXT,
        "Source",
        "name of this node's Node object; empty: the host's name",
        also=("hostname-override",),
        also_variables=("NODE_NAME",),
    )
    manifests: Path | None = _setting(
        None, values.FILE, "Source", "folder of manifests to read instead of the API server"
    )
    kubeconfig: Path | None = _setting(
        None,
        values.FILE,
        "Source",
        "kubeconfig of the API server; empty: the pod's service account",
        also_variables=("KUBECONFIG",),
    )
    namespace: str = _setting(
        "birdctl-system", values.TEXT, "Source", "birdctl's namespace: passwords are Secrets in it"
    )
    resync_period: float = _setting(
        300.0, values.DURATION, "Source", "how often everything is compiled and compared afresh", live=True
    )

    runtime_dir: Path = _setting(
        Path("/run/birdctl"), values.FILE, "Process", "the agent's socket, inventory and history"
    )
    log_level: str = _setting(
        "info", values.one_of("debug", "info", "warning", "error"), "Process", "least severe message to log", live=True
    )
    log_format: str = _setting("text", values.one_of("text", "json"), "Process", "how a log line looks")
    metrics_addr: str = _setting("127.0.0.1", values.LISTEN, "Process", "address of /metrics; empty: all")
    metrics_port: int = _setting(20241, values.OPTIONAL_PORT, "Process", "port of /metrics; 0: off")
    health_addr: str = _setting("", values.LISTEN, "Process", "address of /healthz, /readyz and /livez; empty: all")
    health_port: int = _setting(20244, values.OPTIONAL_PORT, "Process", "port of /healthz, /readyz and /livez; 0: off")
    ready_sessions: int = _setting(
        50,
        values.integer(0, 100, "PERCENT"),
        "Process",
        "how many of the sessions must carry their routes for the agent to be ready, in percent; one in any case",
        live=True,
    )

    bird_socket: Path = _setting(Path("/run/bird/bird.ctl"), values.FILE, "BIRD", "BIRD's control socket")
    bird_config: Path = _setting(
        Path("/etc/bird/bird.conf"), values.FILE, "BIRD", "the configuration file BIRD starts with"
    )
    bird_templates: Path | None = _setting(
        None, values.FILE, "BIRD", "folder of templates that replace those of the same name", live=True
    )
    commit_timeout: float = _setting(
        30.0,
        values.DURATION,
        "BIRD",
        "BIRD undoes a configuration by itself that is not confirmed within this time",
        live=True,
    )

    run_router: bool = _setting(True, values.BOOLEAN, "Routing", "configure BIRD")
    enable_ipv4: bool = _setting(True, values.BOOLEAN, "Routing", "route IPv4, and enforce policies on it", live=True)
    enable_ipv6: bool = _setting(True, values.BOOLEAN, "Routing", "route IPv6, and enforce policies on it", live=True)
    cluster_asn: int = _setting(64512, values.ASN, "Routing", "ASN of every node that has none of its own", live=True)
    nodes_full_mesh: bool = _setting(
        True,
        values.BOOLEAN,
        "Routing",
        "every node peers with every other; false: only nodes of one `node.asn`",
        live=True,
    )
    enable_ibgp: bool = _setting(True, values.BOOLEAN, "Routing", "sessions between nodes at all", live=True)
    bgp_port: int = _setting(
        179, values.PORT, "Routing", "port BIRD listens on, and that of the other nodes", live=True
    )
    router_id: str = _setting(
        "",
        values.ROUTER_ID,
        "Routing",
        "an IPv4 address, or `generate` from the node's address; empty: the node's IPv4 address, else generated",
        live=True,
    )
    bgp_holdtime: float = _setting(
        90.0, values.duration_between(3, 65535), "Routing", "hold time of external peers that give none", live=True
    )
    bgp_graceful_restart: bool = _setting(True, values.BOOLEAN, "Routing", "graceful restart (RFC 4724)", live=True)
    bgp_graceful_restart_time: float = _setting(
        120.0,
        values.duration_between(1, 4095),
        "Routing",
        "how long peers keep our routes while BIRD restarts",
        live=True,
    )
    bgp_graceful_restart_deferral_time: float = _setting(
        20.0, values.duration_between(1, 64800), "Routing", "longest wait for all peers after BIRD's restart", live=True
    )
    override_nexthop: bool = _setting(
        False, values.BOOLEAN, "Routing", "next hop self towards external peers", live=True
    )

    advertise_pod_cidr: bool = _setting(
        True, values.BOOLEAN, "Advertisements", "announce the node's pod CIDRs to external peers", live=True
    )
    advertise_cluster_ip: bool = _setting(
        False, values.BOOLEAN, "Advertisements", "announce cluster IPs to external peers", live=True
    )
    advertise_external_ip: bool = _setting(
        False, values.BOOLEAN, "Advertisements", "announce external IPs to external peers", live=True
    )
    advertise_loadbalancer_ip: bool = _setting(
        False, values.BOOLEAN, "Advertisements", "announce load balancer IPs to external peers", live=True
    )
    service_cluster_ip_range: tuple[Prefix, ...] = _setting(
        (parse_prefix("10.96.0.0/12"),),
        values.PREFIXES,
        "Advertisements",
        "ranges of cluster IPs, never imported",
        live=True,
    )
    service_external_ip_range: tuple[Prefix, ...] = _setting(
        (), values.PREFIXES, "Advertisements", "ranges external IPs may come from", live=True
    )
    loadbalancer_ip_range: tuple[Prefix, ...] = _setting(
        (), values.PREFIXES, "Advertisements", "ranges load balancer IPs may come from", live=True
    )

    strict_external_ip_validation: bool = _setting(
        True,
        values.BOOLEAN,
        "Advertisements",
        "announce external and load balancer IPs only from their ranges; false: any but cluster IPs",
        live=True,
    )
    advertise_without_endpoints: bool = _setting(
        False, values.BOOLEAN, "Advertisements", "announce services that have no ready endpoint", live=True
    )

    peer_router_ips: tuple[Address, ...] = _setting(
        (), values.ADDRESSES, "External peers", "peers of every node", live=True
    )
    peer_router_asns: tuple[int, ...] = _setting(
        (), values.ASNS, "External peers", "their ASNs, in the same order", live=True
    )
    peer_router_ports: tuple[int | None, ...] = _setting(
        (), values.PORTS, "External peers", "their ports, in the same order; absent or blank: 179", live=True
    )
    peer_router_passwords: tuple[Secret | None, ...] = _setting(
        (),
        values.PASSWORDS,
        "External peers",
        "their MD5 passwords in base64, in the same order, blank for none",
        live=True,
    )
    peer_router_passwords_file: Path | None = _setting(
        None, values.FILE, "External peers", "file with the same list, read when the list itself is empty", live=True
    )
    peer_router_multihop_ttl: int = _setting(
        0, values.integer(0, 255), "External peers", "TTL of eBGP multihop; below 2: directly connected", live=True
    )
    enable_bfd: bool = _setting(False, values.BOOLEAN, "External peers", "BFD with the peers given here", live=True)
    bfd_detection_multiplier: int = _setting(
        3, values.integer(1, 255), "External peers", "BFD packets that may be lost", live=True
    )
    bfd_desired_min_tx_interval: int = _setting(
        1000, values.integer(1, 60_000), "External peers", "BFD's transmit interval in milliseconds", live=True
    )
    bfd_required_min_rx_interval: int = _setting(
        1000, values.integer(1, 60_000), "External peers", "BFD's receive interval in milliseconds", live=True
    )

    run_firewall: bool = _setting(
        False, values.BOOLEAN, "Network policy", "enforce NetworkPolicy and ClusterNetworkPolicy"
    )
    netpol_default_deny: bool = _setting(
        False,
        values.BOOLEAN,
        "Network policy",
        "addresses of the node's pod CIDRs stay closed until their pod is known: no pod is open before its policies",
        live=True,
    )
    netpol_deny_action: str = _setting(
        "reject",
        values.one_of("reject", "drop"),
        "Network policy",
        "what happens to traffic that NetworkPolicy refuses; ClusterNetworkPolicy always drops",
        live=True,
    )
    iptables_sync_period: float = _setting(
        300.0,
        values.DURATION,
        "Network policy",
        "how often everything in the kernel is read back, and repaired where somebody else changed it",
        live=True,
    )

    @classmethod
    def load(cls, flags: object, environment: Mapping[str, str]) -> Self:
        """The settings in force; `flags` is an argparse namespace, absent attributes are not given.

        Raises InputError naming the flag, the variable or the file's key at fault.
        """
        given = {**_from_environment(environment), **_from_flags(flags)}
        if "config" in given:
            given = {**_from_file(given["config"]), **given}
        return cls(**_complete(given))

    def adopt(self, newer: Self) -> tuple[Self, tuple[str, ...]]:
        """These settings with the live ones of `newer`, and the flags whose change waits for a restart."""
        changed = [entry for entry in table() if getattr(self, entry.field) != getattr(newer, entry.field)]
        live = {entry.field: getattr(newer, entry.field) for entry in changed if entry.live}
        return dataclasses.replace(self, **live), tuple(entry.flag for entry in changed if not entry.live)

    def routing(self) -> RoutingOptions:
        """What the routing compiler needs of these settings."""
        from birdctl.routing.options import RoutingOptions  # noqa: PLC0415 - only who compiles pays for it

        return RoutingOptions(**self._of(RoutingOptions))

    def policies(self) -> PolicyOptions:
        """What the policy compiler needs of these settings."""
        from birdctl.policies.options import PolicyOptions  # noqa: PLC0415 - only who compiles pays for it

        return PolicyOptions(**self._of(PolicyOptions))

    def _of(self, options: type[Any]) -> dict[str, Any]:
        """The settings that have the names of an options' fields."""
        names = options.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        return {name: getattr(self, name) for name in names}


@cache
def table() -> tuple[Setting, ...]:
    """Every setting, in the order of declaration."""
    return tuple(_specified(field) for field in dataclasses.fields(Settings))


def _specified(field: dataclasses.Field[Any]) -> Setting:
    kind, group, text, live, also, also_variables = field.metadata[_SPECIFICATION]
    return Setting(
        field=field.name,
        kind=kind,
        group=group,
        help=text,
        default=field.default,
        live=live,
        names=(field.name.replace("_", "-"), *also),
        variables=(f"BIRDCTL_{field.name.upper()}", *also_variables),
    )


def _from_flags(flags: object) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for entry in table():
        text = getattr(flags, entry.field, None)
        if text is not None:
            given[entry.field] = _parse(entry, text if isinstance(text, str) else ",".join(text), entry.flag)
    return given


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for entry in table():
        variable = next((name for name in entry.variables if environment.get(name)), None)
        if variable:
            given[entry.field] = _parse(entry, environment[variable], f"${variable}")
    return given


def _from_file(path: Path) -> dict[str, Any]:
    document = _read_document(path)
    known = {name: entry for entry in table() for name in entry.names}
    for key in document:
        if key not in known:
            raise InputError(str(path), str(key), f"unknown setting{_closest(str(key), known)}")
    return {
        known[key].field: _parse(known[key], _file_text(path, key, value), str(path), field=key)
        for key, value in document.items()
        if value is not None
    }


def _read_document(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - only who has a file pays for it

    try:
        document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise InputError(str(path), "", f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(str(path), "", f"is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InputError(str(path), "", "expected a mapping of settings, as `cluster-asn: 64512`")
    return document


def _file_text(path: Path, key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_file_text(path, key, item) for item in value)
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(str(path), key, "expected a value or a list of values")


def _closest(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only who mistypes pays for it

    matches = difflib.get_close_matches(name.replace("_", "-"), list(known), 1)
    return f"; did you mean {matches[0]}?" if matches else ""


def _parse(entry: Setting, text: str, origin: str, field: str = "") -> Any:
    try:
        return entry.kind.parse(text.strip())
    except ValueError as error:
        shown = "the value" if entry.kind.secret else repr(text)
        raise InputError(origin, field, f"{shown} is not {entry.kind.expected}{_reason(entry, error)}") from None


def _reason(entry: Setting, error: ValueError) -> str:
    return f" ({error})" if str(error) and not entry.kind.secret else ""


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """With the node's name from the host, and the passwords from their file."""
    if not given.get("node"):
        given["node"] = socket.gethostname().lower()
    if given.get("peer_router_passwords_file") and not given.get("peer_router_passwords"):
        given["peer_router_passwords"] = _passwords(given["peer_router_passwords_file"])
    return given


def _passwords(path: Path) -> tuple[Secret | None, ...]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise InputError("--peer-router-passwords-file", "", f"{path} cannot be read as text") from None
    entry = next(entry for entry in table() if entry.field == "peer_router_passwords")
    passwords: tuple[Secret | None, ...] = _parse(entry, text, str(path))
    return passwords
