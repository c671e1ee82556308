"""One pass without an agent: what `birdctl apply` and `birdctl plan` do."""

from __future__ import annotations

from birdctl.reconcile.plan import Plan
from birdctl.reconcile.reconciler import Reconciler, Result
from birdctl.reconcile.sources import load
from birdctl.settings import Settings


def once(settings: Settings, *, force: bool = False) -> Result:
    """Brings BIRD to what the source says now. Raises UnsafePlan (unless forced), Unavailable, InputError, and what
    `BirdBackend.commit` raises."""
    reconciler = _reconciler(settings)
    return reconciler.carry_out(reconciler.prepare(), force=force)


def plan_only(settings: Settings) -> Plan:
    """What `once` would do. Writes nothing."""
    return _reconciler(settings).prepare().plan


def _reconciler(settings: Settings) -> Reconciler:
    reconciler = Reconciler(settings, load(settings))
    reconciler.take_in()
    return reconciler
