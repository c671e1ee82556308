"""The checks of `birdctl doctor` for network policy, made where `--run-firewall` is given.

Whether the kernel takes every kind of rule is tried out in a network namespace of its own, which ends with the trial.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator

from birdctl import syscalls
from birdctl.addresses import Family
from birdctl.cli import checks
from birdctl.cli.checks import Check, error, ok, sysctl, warning
from birdctl.errors import BirdctlError
from birdctl.netfilter.iptables import Mode
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.sysctl import Sysctl, deviations
from birdctl.policies import bridges
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.trial import trial
from birdctl.settings import Settings

_MODULES = (
    "modprobe -a ip_set_hash_ip ip_set_hash_net ip_set_hash_ipport ip_set_hash_ipportip xt_set xt_conntrack xt_addrtype"
    " xt_bpf xt_comment xt_limit xt_NFLOG ipt_REJECT ip6t_REJECT nf_conntrack_netlink"
)
_FULL = 0.9
"""Of conntrack's table: new connections are dropped when it is full."""


def firewall(settings: Settings) -> Iterator[Check]:
    """In the order to mend things."""
    yield from iptables()
    yield rules(settings)
    yield conntrack()
    yield from bridged(settings)
    yield from services()


def iptables() -> Iterator[Check]:
    """Which of the kernel's two packet filters is in use, and whether only one is."""
    found = {mode: rules_in(mode) for mode in Mode}
    mode = detect()
    yield ok("iptables", f"{mode}, as the host uses it")
    used = [each for each, count in found.items() if count]
    if len(used) > 1:
        text = f"both are in use: {', '.join(f'{found[each]} rules in {each}' for each in used)}"
        other = next(each for each in Mode if each is not mode)
        yield warning("iptables modes", text, f"move the rules of {other} (`iptables-{other}-save`), then flush it")


def rules_in(mode: Mode) -> int:
    """Rules in this mode; asking for them makes no table."""
    return sum(line.startswith("-A ") for line in saved(mode))


def saved(mode: Mode) -> list[str]:
    """The lines of `iptables-save`, of both families."""
    texts = (_output(f"{program}-{mode}-save") for program in ("iptables", "ip6tables"))
    return [line for text in texts for line in text.splitlines()]


def _output(program: str) -> str:
    try:
        return subprocess.run([program], capture_output=True, text=True, timeout=30, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""


def rules(settings: Settings) -> Check:
    """Writes an example of everything into a namespace of its own."""
    mode = detect()
    options = settings.policies()

    def write() -> None:
        backend = PolicyBackend(mode)
        try:
            backend.apply(trial(options))
        finally:
            backend.close()

    try:
        in_own_namespace(write)
    except PermissionError:
        return untried("policy rules")
    except BirdctlError as problem:
        return error("policy rules", f"refused in mode {mode}: {problem}", _MODULES)
    return ok("policy rules", f"the kernel takes every kind of rule and set, in mode {mode}")


def untried(check: str) -> Check:
    """A namespace of its own takes a right that root does not have in the pods of manifests/daemonset.yaml."""
    return warning(check, "cannot be tried out without CAP_SYS_ADMIN", "run as root, with that capability")


def in_own_namespace(work: Callable[[], None]) -> None:
    """A thread has a network namespace of its own, and takes it along when it ends."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            work()
        except (BirdctlError, OSError) as problem:
            raised.append(problem)

    thread = threading.Thread(target=run, name="trial")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def conntrack() -> Check:
    most, used = (sysctl(f"net.netfilter.nf_conntrack_{name}") for name in ("max", "count"))
    if not most or not used:
        found = "the kernel tracks no connections: no policy can tell replies from new connections"
        return error("conntrack", found, "modprobe nf_conntrack")
    text = f"{used} of {most} connections"
    if int(used) > _FULL * int(most):
        fix = f"sysctl -w net.netfilter.nf_conntrack_max={2 * int(most)}"
        return warning("conntrack", f"{text}: when it is full, new ones are dropped", fix)
    return ok("conntrack", text)


def bridged(settings: Settings) -> Iterator[Check]:
    """Only br_netfilter shows iptables what passes between two pods of one bridge."""
    found = bridges.with_ports()
    for family, enabled in ((Family.IPV4, settings.enable_ipv4), (Family.IPV6, settings.enable_ipv6)):
        if enabled and found:
            yield from (bridge(family, wanted) for wanted in bridges.settings([family], found))


def bridge(family: Family, wanted: Sysctl) -> Check:
    for found in deviations([wanted]):
        return error(f"{family} bridge", found.found, found.fix)
    return ok(f"{family} bridge", f"{wanted.name} is {wanted.wanted}")


def services() -> Iterator[Check]:
    """IPVS, if it serves anything here."""
    table = checks.PROC / "net/ip_vs"
    lines = table.read_text().splitlines() if table.exists() else []
    if not any(line.startswith(("TCP", "UDP", "SCTP", "FWM")) for line in lines):
        return
    if sysctl("net.ipv4.vs.conntrack") == "1":
        yield ok("IPVS", "its connections are tracked")
    else:
        text = "net.ipv4.vs.conntrack is 0: replies of services do not pass policies"
        yield error("IPVS", text, "sysctl -w net.ipv4.vs.conntrack=1")
