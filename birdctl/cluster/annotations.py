"""Annotations of birdctl, each also read under kube-router's name."""

from __future__ import annotations

import msgspec

from birdctl.cluster.objects import Labels

_GROUPS = ("birdctl.io", "kube-router.io")


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation as it was found: `field` is where, `text` what it says (YAML keeps its indentation)."""

    field: str
    text: str

    @property
    def word(self) -> str:
        return self.text.strip()

    def items(self) -> list[str]:
        """The entries of a comma list; blank ones are kept, for they count in parallel lists."""
        return [item.strip() for item in self.text.split(",")] if self.word else []


def annotation(annotations: Labels, name: str) -> Annotation | None:
    """The annotation `birdctl.io/name`, else `kube-router.io/name`."""
    for group in _GROUPS:
        key = f"{group}/{name}"
        if key in annotations:
            return Annotation(field=f"metadata.annotations[{key}]", text=annotations[key])
    return None
