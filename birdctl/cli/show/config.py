"""The text whose digest BIRD itself reports, not merely what lies on disk. Passwords appear as `***`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.errors import BackendError
from birdctl.observe.views import View as Item
from birdctl.routing.refusal import masked


class Config(Item, frozen=True, kw_only=True):
    """What one BIRD runs."""

    node: str
    digest: str
    text: str


class ConfigView(View[Config, Config]):
    """Plain text instead of a table."""

    def table(self, items: Sequence[Config], *, wide: bool, headers: bool) -> list[str]:  # noqa: ARG002
        return [item.text.rstrip("\n") for item in items]


VIEW = ConfigView(kind="ConfigList", what="configurations", name=lambda each: f"config/{each.node}")


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)


def run(args: argparse.Namespace) -> int:
    return show.run(args, VIEW, show.Reader(read))


def read(place: Place) -> list[Config]:
    """Raises Unavailable, BackendError when what runs is not birdctl's."""
    bird = place.bird()
    digest, text = bird.status().digest, bird.running_text()
    if digest is None or text is None:
        raise BackendError("BIRD runs a configuration that is not birdctl's: `birdctl plan` says what would change")
    return [Config(node=place.node, digest=digest, text=masked(text))]
