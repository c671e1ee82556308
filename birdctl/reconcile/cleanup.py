"""Takes everything off this node that birdctl made: services, policies, and what BIRD runs. And what a kube-proxy left
that services were taken over from.

Each part is a step of its own, so that one that cannot be undone keeps no other.
"""

from __future__ import annotations

import importlib.resources
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from birdctl.errors import BackendError, BirdctlError, Unavailable
from birdctl.reconcile import control
from birdctl.routing.bird import BirdSocket
from birdctl.routing.commit import BirdBackend
from birdctl.routing.history import ConfigFiles
from birdctl.settings import Settings

QUIET_SECONDS = 10.0
"""How long sessions may take to end."""
_PAUSE = 0.05
_PERSIST = re.compile(r"^\s*persist;\n", re.MULTILINE)
_NO_COMMIT = "0" * 12
"""In place of a digest: the next agent must not take it for what it wants."""
_PROTOCOL = 1002
"""The code of a line of `show protocols`."""
_FILES = ("history", "inventory.json", "rolled-back", "apiservers", "commit.lock", "agent.lock", "agent.sock")


def clean_up(settings: Settings, say: Callable[[str], None]) -> Iterator[BirdctlError]:
    """Does it, and says what was done; what could not be done is an error each.

    Raises BackendError while an agent runs, which would make everything again.
    """
    if _agent_runs(settings.runtime_dir):
        raise BackendError("the agent runs, and would make everything again: stop it first")
    for what, remove in _STEPS.items():
        try:
            say(f"{what}: {remove(settings)}")
        except (BirdctlError, OSError) as error:
            yield BackendError(f"{what}: {error}")


def _agent_runs(runtime_dir: Path) -> bool:
    try:
        control.ask(runtime_dir, "status")
    except Unavailable:
        return False
    return True


def _services(settings: Settings) -> str:
    from birdctl.services.apply import ServiceBackend  # noqa: PLC0415 - not every node can have services

    return _removed(lambda: ServiceBackend(settings.services()), "virtual server, address or rule")


class _Backend(Protocol):
    def remove(self) -> None: ...

    def close(self) -> None: ...


def _removed(open_backend: Callable[[], _Backend], what: str) -> str:
    try:
        backend = open_backend()
    except Unavailable as reason:
        return f"none can be here ({reason})"
    try:
        backend.remove()
    finally:
        backend.close()
    return f"no {what} of birdctl is left"


def _kube_proxy(settings: Settings) -> str:
    from birdctl.services import leftovers  # noqa: PLC0415 - as for services

    if sign := leftovers.running():
        return f"{sign}: what is its own stays"
    return "; ".join(leftovers.remove(settings.services().excluded_cidrs)) or "nothing of it was left behind"


def _kernel_settings(settings: Settings) -> str:
    from birdctl.netfilter import sysctl  # noqa: PLC0415 - as for services

    restored = sysctl.restore(sysctl.record_in(settings.runtime_dir))
    return f"as before: {', '.join(restored)}" if restored else "none were changed"


def _policies(_: Settings) -> str:
    from birdctl.policies.apply import PolicyBackend  # noqa: PLC0415 - not every node can have policies

    return _removed(PolicyBackend, "chain or set")


def _routing(settings: Settings) -> str:
    """Leaves BIRD with what it ran before the agent's first commit.

    Routes persist in the kernel, so first they may not: then BIRD takes them out when the sessions end.
    """
    bootstrap = importlib.resources.files("birdctl").joinpath("bird-templates", "bootstrap.conf").read_text()
    backend = BirdBackend(settings.bird_socket, settings.bird_config, settings.runtime_dir)
    try:
        digest, text = backend.status().digest, backend.running_text()
    except Unavailable as reason:
        return f"BIRD is not there ({reason}); its configuration stays in {settings.bird_config}"
    if digest is None:
        return "BIRD runs nothing of birdctl's"
    if text is None:
        raise BackendError("the text that BIRD runs is lost, and its routes would stay: start the agent once more")
    files = ConfigFiles(settings.bird_config, settings.runtime_dir)
    with BirdSocket(settings.bird_socket, restrict=False) as bird:
        _configure(bird, files, _PERSIST.sub("", text).replace(digest, _NO_COMMIT))
        _configure(bird, files, bootstrap)
        deadline = time.monotonic() + QUIET_SECONDS
        while _protocols(bird) > bootstrap.count("\nprotocol ") and time.monotonic() < deadline:
            time.sleep(_PAUSE)
    return "BIRD runs without sessions and routes"


def _configure(bird: BirdSocket, files: ConfigFiles, text: str) -> None:
    files.overwrite(text)
    bird.request(f'configure "{files.main}"')


def _protocols(bird: BirdSocket) -> int:
    """How many there are, those included that are about to go."""
    return sum(line.code == _PROTOCOL for line in bird.stream("show protocols"))


def _files(settings: Settings) -> str:
    for name in _FILES:
        path = settings.runtime_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return f"nothing of birdctl's is left in {settings.runtime_dir}"


_STEPS: Mapping[str, Callable[[Settings], str]] = {
    "services": _services,
    "kube-proxy": _kube_proxy,
    "policies": _policies,
    "routing": _routing,
    "kernel settings": _kernel_settings,
    "files": _files,
}
