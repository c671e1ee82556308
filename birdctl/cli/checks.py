"""The checks of `birdctl doctor`: each looks at one thing, changes nothing, and knows the fix.

The network's settings are those of the namespace that birdctl runs in.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import birdctl
from birdctl.errors import BackendError, BirdctlError
from birdctl.observe.views import View
from birdctl.reconcile import control
from birdctl.routing.commit import BirdBackend
from birdctl.settings import Settings

OLDEST_BIRD = (2, 0, 12)
# Flowspec overflow and null bytes in keys, fixed on 2026-07-30 in these releases of the kept branches.
SECURITY_FIXES = ((2, 17, 6), (2, 18, 3), (2, 19, 2), (3, 1, 8), (3, 2, 3), (3, 3, 2))
_AFTER_ALL = {2: (2, 20), 3: (3, 4)}  # the first branches that began with the fixes

PROC = Path("/proc")
_TCP_MD5SIG = 14  # linux/tcp.h
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


class Check(View, frozen=True, kw_only=True):
    """What was found, and how to mend it where it is not ok."""

    check: str
    result: Literal["ok", "warning", "error"]
    found: str
    fix: str | None = None


def ok(check: str, found: str) -> Check:
    return Check(check=check, result="ok", found=found)


def warning(check: str, found: str, fix: str) -> Check:
    return Check(check=check, result="warning", found=found, fix=fix)


def error(check: str, found: str, fix: str) -> Check:
    return Check(check=check, result="error", found=found, fix=fix)


def kernel(settings: Settings) -> Iterator[Check]:
    if settings.enable_ipv4:
        yield forwarding("IPv4 forwarding", "net.ipv4.ip_forward")
        yield reverse_path_filter()
        yield multipath_hash("net.ipv4.fib_multipath_hash_policy")
    if settings.enable_ipv6:
        yield ipv6()
        if _has_ipv6_address():
            yield forwarding("IPv6 forwarding", "net.ipv6.conf.all.forwarding")
            yield multipath_hash("net.ipv6.fib_multipath_hash_policy")
    yield tcp_md5()


def sysctl(name: str) -> str | None:
    """The value of a `net.` setting; None where the kernel does not have it."""
    try:
        return PROC.joinpath("sys", *name.split(".")).read_text().strip()
    except OSError:
        return None


def forwarding(check: str, name: str) -> Check:
    value = sysctl(name)
    if value == "1":
        return ok(check, f"{name} is 1")
    return error(check, f"{name} is {value or 'absent'}: this node forwards no packets", f"sysctl -w {name}=1")


def reverse_path_filter() -> Check:
    strict = [
        path.parent.name
        for path in sorted(PROC.glob("sys/net/ipv4/conf/*/rp_filter"))
        if path.read_text().strip() == "1" and path.parent.name not in ("default", "lo")
    ]
    if not strict:
        return ok("reverse path filter", "not strict")
    return warning(
        "reverse path filter",
        f"strict on {', '.join(strict)}: packets that return another way than they went are dropped",
        "sysctl -w " + " ".join(f"net.ipv4.conf.{name}.rp_filter=2" for name in strict),
    )


def multipath_hash(name: str) -> Check:
    family = "IPv6" if "ipv6" in name else "IPv4"
    value = sysctl(name)
    if value is None:
        return error(
            f"{family} multipath",
            "the kernel has none: only one of several next hops is used",
            "a kernel with CONFIG_IP_ROUTE_MULTIPATH",
        )
    if value == "0":
        return warning(
            f"{family} multipath",
            f"{name} is 0: all connections between two addresses take one path",
            f"sysctl -w {name}=1",
        )
    return ok(f"{family} multipath", f"{name} is {value}")


def _has_ipv6_address() -> bool:
    """One that other nodes can reach: of global scope (proc(5))."""
    try:
        lines = PROC.joinpath("net/if_inet6").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[3] == "00" for line in lines)


def ipv6() -> Check:
    value = sysctl("net.ipv6.conf.all.disable_ipv6")
    if value == "0":
        return ok("IPv6", "enabled")
    found = "switched off" if value else "not in this kernel"
    return warning("IPv6", found, "sysctl -w net.ipv6.conf.all.disable_ipv6=0, or give --enable-ipv6=false")


def tcp_md5() -> Check:
    """Sets a key on a socket of its own, as BIRD does for a peer with a password (RFC 2385)."""
    address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton("192.0.2.1"))
    key = struct.pack("=BBHi80s", 0, 0, 4, 0, b"test")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, address + key)
        except OSError as problem:
            found = f"refused by the kernel ({problem.strerror}): peers with a password stay down"
            return error("TCP MD5", found, "a kernel with CONFIG_TCP_MD5SIG and without FIPS mode")
    return ok("TCP MD5", "available")


def clock() -> Check:
    built = Path(birdctl.__file__).stat().st_mtime
    if time.time() < built:
        return error("clock", "is before the time birdctl was installed", "set the clock: certificates and tokens fail")
    buffer = ctypes.create_string_buffer(256)  # struct timex, all zero: only read
    if ctypes.CDLL(None).adjtimex(buffer) == _TIME_ERROR:
        return warning("clock", "no time service keeps it", "run chrony, systemd-timesyncd or ntpd")
    return ok("clock", "synchronised")


def bird_files(config: Path) -> Check:
    folder, check = config.parent, "BIRD's configuration"
    if not folder.is_dir():
        return error(check, f"{folder} does not exist", f"mkdir {folder}, or give --bird-config")
    if not os.access(folder, os.W_OK):
        return error(check, f"{folder} is not writable", "run as the owner of the folder, or as root")
    if _is_mount(config):
        found = f"{config} is a mount of its own: a new version cannot be renamed over it"
        return error(check, found, f"mount the folder {folder} instead of the file")
    return ok(check, f"{folder} can be written")


def runtime_directory(folder: Path) -> Check:
    if os.access(folder if folder.exists() else folder.parent, os.W_OK):
        return ok("runtime directory", f"{folder} can be written")
    return error("runtime directory", f"{folder} is not writable", "run as root, or give --runtime-dir")


def _is_mount(path: Path) -> bool:
    points = (line.split()[4] for line in (PROC / "self/mountinfo").read_text().splitlines())
    return str(path.resolve()) in points


def bird(settings: Settings) -> Iterator[Check]:
    backend = BirdBackend(settings.bird_socket, settings.bird_config, settings.runtime_dir)
    try:
        status = backend.status()
    except BackendError as problem:
        yield error("BIRD", str(problem), f"start BIRD with `-s {settings.bird_socket}`, or give --bird-socket")
        return
    yield ok("BIRD", f"answers on {settings.bird_socket}")
    yield version(status.version)
    yield socket_mode(settings.bird_socket)
    if status.digest is None:
        found = "BIRD runs a configuration that is not birdctl's"
        yield warning("BIRD runs", found, "start the agent or `birdctl apply`")
    else:
        yield ok("BIRD runs", f"configuration {status.digest}")
    if status.recovering:
        yield warning("graceful restart", "BIRD still waits for its peers and announces nothing new", "wait a little")


def version(found: tuple[int, ...]) -> Check:
    text = ".".join(map(str, found))
    if found < OLDEST_BIRD:
        return error("BIRD's version", f"{text} is too old", "BIRD 2.0.12 or later")
    if found >= next((fix for fix in SECURITY_FIXES if fix[:2] == found[:2]), _AFTER_ALL.get(found[0], ())):
        return ok("BIRD's version", text)
    releases = ", ".join(".".join(map(str, fix)) for fix in SECURITY_FIXES)
    return warning(
        "BIRD's version",
        f"{text} is without the security fixes of July 2026 (flowspec, keys), unless the distribution brought them in",
        f"one of {releases} or later; on Debian see `apt changelog bird{'3' if found[0] == 3 else '2'}`",  # noqa: PLR2004
    )


def socket_mode(path: Path) -> Check:
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        found = f"everybody may command BIRD through {path} (mode {stat.S_IMODE(mode):o})"
        return error("socket permissions", found, f"chmod o-rwx {path}, and start BIRD with -u and -g")
    return ok("socket permissions", f"mode {stat.S_IMODE(mode):o}")


def port(number: int, bird_socket: Path) -> Check:
    check = f"port {number}"
    inodes = set(_listening(number))
    owners = dict(_owners(inodes)) if inodes else {}
    ours = _bird_pid(bird_socket)
    foreign = [f"{name} (process {pid})" for pid, name in owners.items() if pid != ours and (ours or name != "bird")]
    if foreign:
        return error(check, f"{', '.join(foreign)} listens on it", "stop it, or give --bgp-port")
    if owners:
        return ok(check, "BIRD listens on it")
    if inodes:
        return warning(
            check, "a process that cannot be seen from here listens on it", "look with `ss -ltnp` on the host"
        )
    return ok(check, "free")


def _listening(number: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        table = PROC / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]


def _owners(inodes: set[str]) -> Iterator[tuple[int, str]]:
    """The processes, with their names, that hold one of these sockets."""
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in PROC.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(str(each.readlink()) in links for each in (process / "fd").iterdir()):
                yield int(process.name), (process / "comm").read_text().strip()
        except OSError:
            continue  # it ended, or it is somebody else's


def _bird_pid(path: Path) -> int:
    """Who listens on the control socket; 0 for nobody, and for a process of another pid namespace."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return 0
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def agent(settings: Settings) -> Iterator[Check]:
    try:
        status = control.ask(settings.runtime_dir, "status")
    except BirdctlError as problem:
        yield warning("agent", str(problem), "start `birdctl agent`, or give --runtime-dir")
        return
    if status["converged"]:
        yield ok("agent", "converged")
    else:
        yield error("agent", status.get("lastError") or "not converged", "`birdctl show status`, `birdctl plan`")
    for said in status.get("problems", ()):
        yield error("objects", said, "correct the object; it is left out until then")
