"""What the running BIRD must be able to do, by version: an object that asks for more is refused, not the whole file.

Everything else that objects can ask for is in BIRD 2.0.12, the oldest supported.
"""

from __future__ import annotations

from birdctl.cluster.faults import Faults

# Feature: the first version of BIRD 2 and of BIRD 3 that has it.
NEEDED = {
    "unnumbered peers": ((2, 19), (3, 3)),
}


def require(feature: str, version: tuple[int, ...], field: str, faults: Faults) -> None:
    """Adds a fault unless a BIRD of `version` has the feature."""
    two, three = NEEDED[feature]
    if version < (two if version[:1] < (3,) else three):
        running = ".".join(str(part) for part in version)
        needed = " or ".join(".".join(str(part) for part in each) for each in (two, three))
        faults.add(field, f"{feature} need BIRD {needed}; this one is {running}")
