"""Every verb with its one-line summary: what `--help`, completion and the README list.

A verb's module has `arguments(parser)` and `run(args) -> exit code`; its docstring is the long help.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`birdctl WORDS…`, done by the module of the same name."""

    name: str
    summary: str

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.name.split())

    @property
    def module(self) -> str:
        return f"birdctl.cli.{'.'.join(self.words)}"


COMMANDS = (
    Command("agent", "run the node agent in the foreground"),
    Command("render", "write the desired state of nodes as files; needs neither root nor BIRD"),
    Command("plan", "say what would change on this node, and its impact; never writes"),
    Command("apply", "bring this node to the desired state once and exit"),
    Command("cleanup", "remove everything that birdctl made on this node"),
    Command("rollback", "go back to an earlier BIRD configuration"),
    Command("history", "list the last known-good BIRD configurations"),
    Command("show peers", "BGP sessions: state, prefixes, last error"),
    Command("show routes", "routes of BIRD, and whether the kernel has them"),
    Command("show advertisements", "what the node originates, and which peers really get it"),
    Command("show bfd", "BFD sessions"),
    Command("show nodes", "the cluster's nodes: addresses, ASN, role, sessions"),
    Command("show status", "converged, healthy, and what BIRD runs"),
    Command("show config", "the BIRD configuration that runs, passwords masked"),
    Command("show policies", "network policies at work: pods, rules, what they matched"),
    Command("show services", "services at work: endpoints, connections, and whether the kernel has them"),
    Command("wait", "block until converged, healthy or established"),
    Command("explain route", "why a prefix is or is not in BIRD, the kernel, at each peer"),
    Command("explain policy", "why a connection is or is not allowed, by the objects and by the node's rules"),
    Command("explain service", "why a service does or does not work: addresses, endpoints, kernel, peers"),
    Command("doctor", "check kernel, BIRD, iptables, sysctls, sockets and clock; say the fix"),
    Command("lab up", "run a containerlab topology in network namespaces"),
    Command("lab down", "remove all of a lab"),
    Command("lab exec", "run a command in a node of a lab"),
    Command("lab list", "the labs of this machine"),
    Command("completion", "print the completion script of a shell"),
)


def matching(words: list[str]) -> Command | None:
    """The command that `words` begin with."""
    return next((each for each in COMMANDS if tuple(words[: len(each.words)]) == each.words), None)
