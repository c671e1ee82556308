"""Every row of the table, in its order."""

from __future__ import annotations

from tests.bench.report import Row
from tests.bench.rows import change, commit, idle, mesh, policies, policies_traffic, restart, services, show

ROWS: tuple[Row, ...] = (
    mesh.JOIN,
    mesh.COLD,
    mesh.MEMORY,
    mesh.NODE_ADDED,
    commit.COMMIT,
    change.API_SERVER,
    change.MANIFESTS,
    restart.RESTART,
    show.SHOW_PEERS,
    idle.IDLE,
    policies.SYNC,
    policies.LABEL,
    policies.CHURN,
    policies.KERNEL,
    policies.MEMORY,
    policies.SCALE,
    policies_traffic.CONNECTION,
    policies_traffic.CONNECTION_IPV6,
    policies_traffic.PACKET,
    policies_traffic.PACKET_IPV6,
    services.SYNC,
    services.ENDPOINT,
    services.SCALE,
    services.CHURN,
    services.RESYNC,
    services.MEMORY,
    services.REQUESTS,
)
