"""What kubelet and a container runtime would make of manifests/daemonset.yaml, on one machine.

A container is a process with the arguments, the environment, the volumes, the capabilities and the read-only root
file system that the manifest gives it. Its network is a namespace; its root file system is the machine's, seen
through mounts of its own, so nothing outside of `folder` is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import shlex
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.bird.daemon import Namespace
from tests.kube import ROOT, KubeApiServer, manifests

DAEMONSET = next(item for item in manifests() if item["kind"] == "DaemonSet")
POD = DAEMONSET["spec"]["template"]["spec"]
CONTAINERS = {item["name"]: item for item in POD["containers"]}
ENTRYPOINTS = {"birdctl/agent": [".venv/bin/birdctl"], "birdctl/bird": ["manifests/sidecar/start-bird"]}
"""The Dockerfile's."""
_CLONE_NEWNET = 0x40000000


class Pod:
    """The DaemonSet's pod on one node; its containers are started by name."""

    def __init__(self, node: str, namespace: Namespace, folder: Path, apiserver: KubeApiServer) -> None:
        self.node = node
        self.namespace = namespace
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._host, self._port = "192.0.2.1", apiserver.port  # a name that the API server's certificate has
        volumes = folder / "volumes"
        volumes.mkdir(parents=True)
        for volume in POD["volumes"]:
            path = volumes / volume["name"]
            if volume.get("hostPath", {}).get("type") == "FileOrCreate":
                path.touch()
            else:
                path.mkdir()
        account = (DAEMONSET["metadata"]["namespace"], POD["serviceAccountName"])
        token = apiserver.service_account_token(*account, node=node)
        (volumes / "token/token").write_text(token)
        (volumes / "token/ca.crt").write_bytes(apiserver.authority.read_bytes())
        self._write_settings("1", settings())
        namespace.run(f"ip address add {self._host}/32 dev lo")
        self._relay = Relay(namespace, (self._host, self._port), (apiserver.address, apiserver.port))

    def start(self, name: str) -> None:
        container = CONTAINERS[name]
        image = container["image"].partition(":")[0]
        entrypoint, *more = ENTRYPOINTS[image]
        command = [str(ROOT / entrypoint), *more, *container.get("args", ())]
        self._processes[name] = self._run(container, command)

    def stop(self, name: str, *, hooks: bool = True, grace: float = 20.0) -> None:
        """As kubelet does: the preStop hook, then SIGTERM."""
        hook = CONTAINERS[name].get("lifecycle", {}).get("preStop")
        if hook and hooks:
            assert self._run(CONTAINERS[name], hook["exec"]["command"]).wait(grace) == 0
        process = self._processes.pop(name)
        if process.poll() is None:
            process.terminate()
        process.wait(grace)

    def succeeds(self, name: str, probe: str) -> bool:
        """Whether a probe of the manifest would."""
        what = CONTAINERS[name][probe]
        if "exec" in what:
            return self._run(CONTAINERS[name], what["exec"]["command"]).wait(what["timeoutSeconds"]) == 0
        ports = {port["name"]: port["containerPort"] for port in CONTAINERS[name]["ports"]}
        url = f"http://127.0.0.1:{ports[what['httpGet']['port']]}{what['httpGet']['path']}"
        command = self.namespace.command("curl", "-sf", "-o", "/dev/null", "--max-time", "5", url)
        return subprocess.run(command, check=False).returncode == 0

    def write_settings(self, version: str, **changes: object) -> None:
        """Change the ConfigMap and swap its link, as kubelet does."""
        self._write_settings(version, {**settings(), **changes})

    def _write_settings(self, version: str, values: Mapping[str, object]) -> None:
        mounted = self.folder / "volumes/settings"
        (mounted / f"..{version}").mkdir()
        text = "".join(f"{key}: {str(value).lower()}\n" for key, value in values.items())
        (mounted / f"..{version}/config.yaml").write_text(text)
        (mounted / "..data_tmp").symlink_to(f"..{version}")
        (mounted / "..data_tmp").replace(mounted / "..data")
        if not (mounted / "config.yaml").is_symlink():
            (mounted / "config.yaml").symlink_to("..data/config.yaml")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._relay.close()

    def _run(self, container: Mapping[str, Any], command: Sequence[str]) -> subprocess.Popen[bytes]:
        script = "\n".join([*self._mounts(container), "exec " + shlex.join([*_limits(container), *command])])
        environment = {
            "PATH": f"{ROOT / '.venv/bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "KUBERNETES_SERVICE_HOST": self._host,
            "KUBERNETES_SERVICE_PORT": str(self._port),
            **{item["name"]: item.get("value", self.node) for item in container.get("env", ())},
        }
        with (self.folder / f"{container['name']}.log").open("ab") as log:
            inside = self.namespace.command("unshare", "--mount", "sh", "-euc", script)
            return subprocess.Popen(inside, env=environment, stdout=log, stderr=log)

    def _mounts(self, container: Mapping[str, Any]) -> list[str]:
        """Volumes, and a read-only root, in a mount namespace of its own."""
        own = self.folder / "layers" / container["name"]
        lines = ["mount -t tmpfs none /run"]
        for top in ("/etc", "/usr/share"):
            upper, work = own / top.replace("/", "_"), own / f"{top.replace('/', '_')}.work"
            lines.append(f"mkdir -p {upper} {work}")
            lines.append(f"mount -t overlay -o lowerdir={top},upperdir={upper},workdir={work} none {top}")
        lines.append("mkdir -p /usr/share/birdctl")
        lines.append(f"cp {ROOT}/bird-templates/bootstrap.conf /usr/share/birdctl/")
        for mount in sorted(container["volumeMounts"], key=lambda item: len(item["mountPath"])):
            volume = self.folder / "volumes" / mount["name"]
            lines.append(f"{'mkdir -p' if volume.is_dir() else 'touch'} {mount['mountPath']}")
            lines.append(f"mount --bind {volume} {mount['mountPath']}")
        if container["securityContext"]["readOnlyRootFilesystem"]:
            lines += [f"mount -o remount,ro,bind {path}" for path in ("/etc", "/usr/share", "/")]
        return lines


def settings() -> dict[str, object]:
    configmap = next(item for item in manifests() if item["kind"] == "ConfigMap")
    return dict(yaml.safe_load(configmap["data"]["config.yaml"]))


def _limits(container: Mapping[str, Any]) -> list[str]:
    context = container["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    kept = [name.lower() for name in context["capabilities"].get("add", ())]
    bounding = ",".join(["-all", *(f"+{name}" for name in kept)])
    return ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", f"--bounding-set={bounding}", "--inh-caps=-all", "--"]


class Relay:
    """Connections to an address inside a namespace, passed on to one outside of it."""

    def __init__(self, namespace: Namespace, inside: tuple[str, int], outside: tuple[str, int]) -> None:
        self._outside = outside
        self._listener = _listener_in(namespace, inside)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    def _pass_on(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), socket.create_connection(self._outside) as other:
            back = threading.Thread(target=_copy, args=(other, connection), daemon=True)
            back.start()
            _copy(connection, other)
            back.join()


def _listener_in(namespace: Namespace, address: tuple[str, int]) -> socket.socket:
    """A listening socket of the namespace; only the thread that makes it enters there."""
    made: list[socket.socket] = []

    def make() -> None:
        with namespace._path.open() as file:
            assert ctypes.CDLL(None).setns(file.fileno(), _CLONE_NEWNET) == 0
        made.append(socket.create_server(address))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    return made[0]


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
