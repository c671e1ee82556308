"""A machine whose kernel has IPVS, dummy devices and tunnels, for a test machine whose own kernel lacks them.

It is user-mode Linux: a kernel that runs as a process, on this machine's files, with a network of its own. Up in two
seconds; one processor; Python runs at full speed, system calls cost several times the usual. /run and $TMPDIR are its
own, everything else is the same file here and there: what is written there is seen here after an fsync or a close,
what is written here meanwhile may never be seen there.
"""

from __future__ import annotations

import functools
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
INIT = ROOT / "tests/vm/init.sh"
SHIM = ROOT / "tests/setup/uml-ptrace.c"
_NEEDED = """
modprobe -qa ip_vs ip_vs_mh br_netfilter dummy ipip
test -e /proc/net/ip_vs && ip link add name one type dummy && ip link add name two type ipip remote 127.0.0.1
"""
_WITHOUT_AVX512 = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL"
"""User-mode Linux 6.1 keeps AVX-512 registers over a change of process, not over a signal's handler."""
_ENDS_WITH_US = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--pid", "--fork", "--kill-child", "--"),  # linux.uml leaves processes behind, a PID namespace none
)


@functools.cache
def kernel_has_everything() -> bool:
    """Whether this kernel, in a fresh network namespace, has what the machine is for; the machine's has."""
    if "MACHINE" in os.environ:
        return True
    tried = subprocess.run(["unshare", "--net", "sh", "-c", _NEEDED], capture_output=True, check=False)
    return tried.returncode == 0


class Machine:
    """Runs one command, from its start on. `folder` is the same inside: its path is in the variable MACHINE there.

    The command sees this process's environment, with `environment` in addition, and runs in this process's folder.
    `devices` are words of the kernel's command line, as for a network device. Machines of one process whose numbers
    differ by one run on different processors, if there are two.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        memory: str = "2G",
        environment: Mapping[str, str] | None = None,
        devices: Sequence[str] = (),
        number: int = 0,
    ) -> None:
        self._command = list(command)
        self._temporary = tempfile.TemporaryDirectory(prefix="birdctl-machine-")
        self.folder = Path(self._temporary.name)
        inside = {
            "GLIBC_TUNABLES": _WITHOUT_AVX512,
            "TMPDIR": "/run/tmp",
            "MACHINE": str(self.folder),
            "PYTHONFAULTHANDLER": "1",
        }
        variables = {**os.environ, **inside, **(environment or {})}
        words = ("env", f"--chdir={Path.cwd()}", "-i", *(f"{name}={value}" for name, value in variables.items()))
        (self.folder / "command").write_text(shlex.join((*words, *command)))
        kernel = (
            *("linux.uml", f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"),
            *("con=null", "con0=null,fd:1", f"uml_dir={self.folder}", f"init={INIT}", f"MACHINE={self.folder}"),
            *devices,
        )
        with (self.folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *_ENDS_WITH_US,
                    *_on_one_processor(number),
                    "sh",
                    "-c",
                    'LD_PRELOAD="$0" "$@"; exit',
                    str(_shim()),
                    *kernel,
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process above all of the machine's."""
        return self._process.pid

    def status(self) -> int | None:
        """Of the command, as a shell has it; None while it runs. Raises RuntimeError when the machine is gone."""
        gone = self._process.poll() is not None
        try:
            return int((self.folder / "status").read_text())
        except FileNotFoundError:
            if gone:
                raise RuntimeError(f"the machine ended before its command:\n{self.tail()}") from None
            return None

    def result(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """The command's, when it has ended. Raises TimeoutExpired, or RuntimeError when the machine dies."""
        deadline = time.monotonic() + timeout
        while (status := self.status()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._command, timeout, self.tail())
            time.sleep(0.02)
        output, errors = ((self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self._command, status, output, errors)

    def tail(self) -> str:
        """The last lines that it printed: its console's, and its command's as far as they are written."""
        texts = [(name, self.folder / name) for name in ("console", "stdout", "stderr")]
        lines = {name: path.read_text(errors="replace").splitlines() for name, path in texts if path.exists()}
        return "\n".join(line for name, all_of_it in lines.items() for line in (f"--- {name}", *all_of_it[-50:]))

    def close(self) -> None:
        """Ends it, whatever it does."""
        if self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            os.kill(int(children[0]) if children else self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._temporary.cleanup()


def run(
    command: Sequence[str],
    *,
    memory: str = "2G",
    timeout: float = 600.0,
    environment: Mapping[str, str] | None = None,
    devices: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """The command's result in a machine of its own. Raises TimeoutExpired, or RuntimeError when the machine dies."""
    with Machine(command, memory=memory, environment=environment, devices=devices) as machine:
        return machine.result(timeout)


def _on_one_processor(number: int) -> tuple[str, ...]:
    """Its processes take turns, several times a system call: twice as fast where they need not wake each other up."""
    present = sorted(os.sched_getaffinity(0))
    return ("taskset", "--cpu-list", str(present[(os.getpid() + number) % len(present)]))


def _shim() -> Path:
    """What linux.uml needs on processors newer than itself, compiled into the cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    shim = Path(os.environ.get("BIRDCTL_CACHE") or caches / "birdctl") / "uml-ptrace.so"
    if not shim.exists() or shim.stat().st_mtime < SHIM.stat().st_mtime:
        shim.parent.mkdir(parents=True, exist_ok=True)
        new = shim.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", new, SHIM], check=True)
        new.replace(shim)
    return shim
