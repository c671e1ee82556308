"""machine.py start | run COMMAND... | stop: a machine of its own for a user who is not root.

It is user-mode Linux, a kernel that runs as a process on this machine's file system. Where that kernel does not boot
(on a processor with AMX its 6.1 needs a C compiler to be helped), it is namespaces of the user's own. init.sh is its
first process: it runs what is put into the folder `requests`, one after the other, and prints to the file `console`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "demo"
CONSOLE, REQUESTS, PID = WORK / "console", WORK / "requests", WORK / "pid"
BOOT_TIMEOUT = 30  # seconds
SHIM, SHIM_SOURCE = WORK / "uml-ptrace.so", ROOT / "tests/setup/uml-ptrace.c"
UML = (
    *("env", f"LD_PRELOAD={SHIM}", "linux.uml", "mem=2G", f"init={HERE}/init.sh"),
    *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw"),
    *("con=null", "con0=null,fd:1", "quiet", f"uml_dir={WORK}/uml", "umid=demo"),
    *(f"{name}={os.environ[name]}" for name in ("LAB", "PATH")),
    f"WORK={WORK}",
)
NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--uts", "--ipc"),
    *("--fork", "--kill-child", str(HERE / "init.sh")),
)


def start() -> int:
    REQUESTS.mkdir(parents=True, exist_ok=True)
    if shutil.which("cc"):
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", SHIM, SHIM_SOURCE], check=False)  # noqa: S603, S607
    for name, command in (("user-mode Linux", UML), ("namespaces of your own", NAMESPACES)):
        if boots(command):
            say(f"you are not root: the demo runs in a machine of its own ({name})\n")
            return 0
    say(f"no machine of its own for you, neither user-mode Linux nor namespaces; see {CONSOLE}\n")
    return 1


def boots(command: tuple[str, ...]) -> bool:
    with CONSOLE.open("wb") as console:
        process = subprocess.Popen(  # noqa: S603 - one of the two above
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"HOME": str(WORK), "WORK": str(WORK)} | os.environ,
        )
    PID.write_text(str(process.pid))
    deadline = time.monotonic() + BOOT_TIMEOUT
    while b"machine is up" not in CONSOLE.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            stop()
            return False
        time.sleep(0.1)
    return True


def run(command: list[str]) -> int:
    """Prints what the machine prints until the command is done; returns its exit code."""
    name = f"{time.time_ns()}.sh"
    end = f"request {name} ended ".encode()
    with CONSOLE.open("rb") as console:
        console.seek(0, os.SEEK_END)
        draft = REQUESTS / f"{name}.new"
        draft.write_text(shlex.join(command))
        draft.rename(REQUESTS / name)
        while not (line := read_line(console)).startswith(end):
            say(line.decode(errors="replace"))
    return int(line.removeprefix(end))


def read_line(console: BinaryIO) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        more = console.readline()
        if not more and not Path("/proc", PID.read_text()).exists():
            sys.exit("the machine is gone")
        line += more
        if not more:
            time.sleep(0.05)
    return line.replace(b"\r\n", b"\n")


def stop() -> int:
    """Ends the machine: all its processes are in the session of its first one."""
    if PID.exists() and Path("/proc", PID.read_text()).exists():
        os.killpg(int(PID.read_text()), signal.SIGKILL)
    return 0


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    sys.exit(run(words) if verb == "run" else {"start": start, "stop": stop}[verb]())
