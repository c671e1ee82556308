"""The checks of `birdctl doctor` for the service proxy, made where `--run-service-proxy` is given.

What the kernel can do is tried out in a network namespace of its own, which ends with the trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address

from birdctl.addresses import Address, family
from birdctl.cli.checks import Check, error, ok, warning
from birdctl.cli.firewall_checks import in_own_namespace, saved, untried
from birdctl.errors import BackendError, BirdctlError
from birdctl.netfilter import sysctl
from birdctl.netfilter.iptables import Mode
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.reconcile import control
from birdctl.services import leftovers as proxy_leftovers
from birdctl.services import sysctls, tunnel_ends
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import changes
from birdctl.services.kubeproxy import TABLE
from birdctl.services.links import VipDevice
from birdctl.services.model import DirectReturn, Port, Protocol, Scheduler, ServerKey, ServiceState, VirtualServer
from birdctl.services.netfilter import ServiceNetfilter
from birdctl.services.rules import RuleCompiler
from birdctl.settings import Settings

_IPV4, _IPV6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
DEVICES = ("kube-ipvs0", "kube-dummy-if")
_RULES_NEED = (
    "modprobe -a ip_set_hash_ip ip_set_hash_net ip_set_hash_ipport ip_set_hash_ipportip xt_set xt_conntrack xt_comment"
    " xt_ipvs xt_MASQUERADE xt_mark xt_TCPMSS ipt_REJECT ip6t_REJECT nf_conntrack_netlink"
)
_CHAINS = (":KUBE-SERVICES ", ":KUBE-NODEPORTS ", ":KUBE-ROUTER-SERVICES ")
_CLEAN = (
    "birdctl cleanup while no agent runs; kube-proxy --cleanup or kube-router --cleanup-config only before birdctl"
    " serves, as they empty all of IPVS"
)


def services(settings: Settings) -> Iterator[Check]:
    """In the order to mend things."""
    yield from kernel(settings)
    yield from kernel_settings(settings)
    yield from other_proxies(settings)


def kernel(settings: Settings) -> Iterator[Check]:
    missing: set[Scheduler] = set()
    ipvs = tried("IPVS", lambda: missing.update(refused_schedulers()), "modprobe ip_vs")
    yield ipvs
    if ipvs.result == "ok":
        yield schedulers(missing, settings.services().ipvs_scheduler)
    yield tried("VIP device", hold_a_vip, "modprobe dummy")
    mode = detect()
    yield tried("service rules", lambda: write_rules(mode, settings), _RULES_NEED)
    if settings.enable_ipv4:
        yield tried("IPv4 tunnels", lambda: end_a_tunnel(_IPV4), "modprobe ipip, for direct server return", warning)
    if settings.enable_ipv6:
        yield tried(
            "IPv6 tunnels", lambda: end_a_tunnel(_IPV6), "modprobe ip6_tunnel, for direct server return", warning
        )


def tried(check: str, work: Callable[[], None], fix: str, otherwise: Callable[[str, str, str], Check] = error) -> Check:
    """What came of it in a namespace of its own."""
    try:
        in_own_namespace(work)
    except PermissionError:
        return untried(check)
    except BirdctlError as problem:
        return otherwise(check, str(problem), fix)
    return ok(check, "available")


def refused_schedulers() -> set[Scheduler]:
    """Those that the kernel does not have. Raises Unavailable without IPVS."""
    ports = {each: Port(address=_IPV4, protocol=Protocol.TCP, port=number) for number, each in enumerate(Scheduler, 1)}
    wanted: dict[ServerKey, VirtualServer] = {
        port: VirtualServer(key=port, scheduler=each) for each, port in ports.items()
    }
    with closing(IpvsBackend()) as ipvs:
        refused = ipvs.write(changes({}, wanted))
    return {each for each, port in ports.items() if port in refused}


def schedulers(missing: set[Scheduler], default: Scheduler) -> Check:
    if not missing:
        return ok("schedulers", "all of them")
    fix = f"modprobe -a {' '.join(sorted(f'ip_vs_{each}' for each in missing))}"
    if default in missing:
        return error("schedulers", f"{default} is missing, which --ipvs-scheduler names", fix)
    return warning("schedulers", f"{', '.join(sorted(missing))}: missing; services that ask for one get none", fix)


def hold_a_vip() -> None:
    with closing(VipDevice()) as device:
        device.write([_IPV4], (), {})


def write_rules(mode: Mode, settings: Settings) -> None:
    """Every kind that there is. Raises BackendError."""
    returns = [
        DirectReturn(port=Port(address=each, protocol=Protocol.TCP, port=1), mark=1, local_pods=frozenset())
        for each in (_IPV4, _IPV6)
    ]
    sources = {family(each): each for each in (_IPV4, _IPV6)}
    state = ServiceState(virtual_servers={}, direct_returns=tuple(returns), sources=sources)
    with closing(ServiceNetfilter(mode)) as backend:
        for (of, table), reason in backend.apply(RuleCompiler(settings.services()).compile(state)).items():
            raise BackendError(f"table {table} of {of}, in mode {mode}: {reason}")


def end_a_tunnel(address: Address) -> None:
    with RouteNetlink("tunnels") as pod:
        tunnel_ends.made(pod, address)


def kernel_settings(settings: Settings) -> Iterator[Check]:
    """Each of the agent's table: what it is for, and an error where a running agent could not set it."""
    wanted = sysctls.needed_here(ipv4=settings.enable_ipv4, ipv6=settings.enable_ipv6)
    deviating = {each.sysctl: each for each in sysctl.deviations(wanted)}
    otherwise = error if control.socket_path(settings.runtime_dir).exists() else warning
    for each in wanted:
        if found := deviating.get(each):
            yield otherwise(each.name, found.found, found.fix)
        else:
            yield ok(each.name, f"as it should be; otherwise {each.otherwise}")


def other_proxies(settings: Settings) -> Iterator[Check]:
    """Who else proxies services here, and what they left behind."""
    running = proxy_leftovers.running()
    if running:
        yield error("other proxies", f"{running}: it and birdctl undo each other's work", "delete its DaemonSet")
    left = tuple(leftovers(settings))
    if left:
        yield warning("leftovers", f"of another proxy: {', '.join(left)}", _CLEAN)
    if not running and not left:
        yield ok("other proxies", "none, and nothing left behind")


def leftovers(settings: Settings) -> Iterator[str]:
    with RouteNetlink("devices") as kernel:
        yield from (f"device {name}" for name in DEVICES if kernel.link(name))
    chains = {line[1:].partition(" ")[0] for mode in Mode for line in saved(mode) if line.startswith(_CHAINS)}
    yield from (f"chain {name}" for name in sorted(chains))
    yield from (f"nftables table {TABLE} of {of}" for of in proxy_leftovers.tables())
    if count := foreign_virtual_servers(settings):
        yield f"{count} virtual servers outside of --excluded-cidrs"


def foreign_virtual_servers(settings: Settings) -> int:
    try:
        with closing(IpvsBackend(settings.excluded_cidrs)) as ipvs:
            return sum(not each.ours for each in ipvs.read().values())
    except BirdctlError:
        return 0  # no IPVS, as said above
