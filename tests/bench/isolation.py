"""Namespaces of our own: nothing of a benchmark is seen outside, and the kernel removes it all when we end.

The whole run lives in new network, mount and process namespaces. This program is process 1 of the latter: when it
ends, of whatever, every BIRD, agent, etcd and API server is killed, and networks, names and scratch files go with the
namespaces.
"""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
from pathlib import Path

import birdctl

_MARK = "BIRDCTL_BENCH_ISOLATED"
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# `ip netns` keeps names in the one, we our files in the other.
_PRIVATE = (Path("/run/netns"), Path("/mnt"))


def isolate() -> Path:
    """Starts this program again inside its own namespaces, unless it is there already; needs root.

    Returns a scratch folder that only we see.
    """
    if not os.environ.pop(_MARK, ""):
        if os.geteuid() != 0:
            raise SystemExit("the benchmarks make network namespaces: run them as root")
        command = [*_UNSHARE, sys.executable, "-m", "tests.bench", *sys.argv[1:]]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the image has compiled modules
        os.execvpe(command[0], command, {**os.environ, _MARK: "1"})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for folder in _PRIVATE:
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    compileall.compile_dir(Path(birdctl.__file__).parent, quiet=1)
    return _PRIVATE[1]
