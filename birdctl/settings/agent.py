"""What the agent reads, and how it shows itself."""

# ruff: noqa: RUF009 - the defaults are declarations

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from birdctl import values
from birdctl.settings.entry import setting


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """Source and process."""

    config: Path | None = setting(
        None, values.FILE, "Source", "YAML file with any of these settings, re-read when it changes"
    )
    node: str = setting(
        "",
        values.TEXT,
        "Source",
        "name of this node's Node object; empty: the host's name",
        also=("hostname-override",),
        also_variables=("NODE_NAME",),
    )
    manifests: Path | None = setting(
        None, values.FILE, "Source", "folder of manifests to read instead of the API server"
    )
    kubeconfig: Path | None = setting(
        None,
        values.FILE,
        "Source",
        "kubeconfig of the API server; empty: the pod's service account",
        also_variables=("KUBECONFIG",),
    )
    master: str = setting("", values.URL, "Source", "URL of the API server, in place of the kubeconfig's or the pod's")
    namespace: str = setting(
        "birdctl-system", values.TEXT, "Source", "birdctl's namespace: passwords are Secrets in it"
    )
    resync_period: float = setting(
        300.0, values.DURATION, "Source", "how often everything is compiled and compared afresh", live=True
    )

    runtime_dir: Path = setting(
        Path("/run/birdctl"), values.FILE, "Process", "the agent's socket, inventory and history"
    )
    cleanup_config: bool = setting(
        False, values.BOOLEAN, "Process", "the agent only does what `birdctl cleanup` does, and exits"
    )
    log_level: str = setting(
        "info", values.one_of("debug", "info", "warning", "error"), "Process", "least severe message to log", live=True
    )
    log_format: str = setting("text", values.one_of("text", "json"), "Process", "how a log line looks")
    metrics_addr: str = setting("127.0.0.1", values.LISTEN, "Process", "address of /metrics; empty: all")
    metrics_port: int = setting(20241, values.OPTIONAL_PORT, "Process", "port of /metrics; 0: off")
    health_addr: str = setting("", values.LISTEN, "Process", "address of /healthz, /readyz and /livez; empty: all")
    health_port: int = setting(20244, values.OPTIONAL_PORT, "Process", "port of /healthz, /readyz and /livez; 0: off")
    ready_sessions: int = setting(
        50,
        values.integer(0, 100, "PERCENT"),
        "Process",
        "how many of the sessions must carry their routes for the agent to be ready, in percent; one in any case",
        live=True,
    )
