"""Every exception that birdctl raises on purpose.

    BirdctlError
    ├─ InputError        a cluster object or a setting cannot be understood: names object, field and remedy
    │  └─ NotProgrammed  it is understood, and this node cannot do it
    ├─ UnsafePlan        the plan would remove too much: numbers, and the flag that overrides
    ├─ BackendError      BIRD or the node refused: what was asked and what was answered
    │  ├─ Undone         BIRD ran it on probation and is back at what it ran before: a retry costs sessions again
    │  ├─ Unavailable    the daemon, socket or API server is not there (yet): worth a retry
    │  └─ ApiRefused     the API server said no: carries the HTTP status
    ├─ NotConverged      applied, but what was read back differs
    └─ UnknownRule       our chains have a rule that birdctl does not write: no answer is better than a guess

Raised once, where the cause is known; ended in two places, the command line (message, exit code 1) and the agent's
loop (log, back off). In between only who has another way to go on catches one. No message ever contains a secret.
"""

from __future__ import annotations


class BirdctlError(Exception):
    """Base of all expected errors; its text is one line for a person."""


class InputError(BirdctlError):
    """A cluster object or a setting cannot be understood.

    `origin` names the object ("BGPPeer tor1", "Service default/web") or the setting ("--cluster-asn"), preceded by
    the file it came from where there is one; `field` is the path to the field ("spec.asn", may be empty); `problem`
    says what is wrong and what was expected. All three may quote what somebody wrote: a character that cannot be
    printed, as a line's end or a terminal's escape, is a question mark in the text.
    """

    def __init__(self, origin: str, field: str, problem: str) -> None:
        self.origin = origin
        self.field = field
        self.problem = problem
        text = f"{origin}: {field}: {problem}" if field else f"{origin}: {problem}"
        super().__init__("".join(each if each.isprintable() else "?" for each in text))


class NotProgrammed(InputError):
    """The node cannot do what an object asks of it; `problem` says which node, why, and what it does instead."""


class UnsafePlan(BirdctlError):
    """The plan refused itself; the text carries the numbers and names `--force`."""


class BackendError(BirdctlError):
    """BIRD or the node refused what was asked."""


class Undone(BackendError):
    """BIRD ran the configuration on probation and is back at the one before. Trying again costs the sessions again."""


class Unavailable(BackendError):
    """What was asked is not there yet, or not any more: worth a retry."""


class ApiRefused(BackendError):
    """The API server answered with an error; `status` is HTTP's."""

    def __init__(self, status: int, problem: str) -> None:
        self.status = status
        super().__init__(problem)


class NotConverged(BirdctlError):
    """Applied, but the state that was read back is not the desired one."""


class UnknownRule(BirdctlError):
    """Our chains have a rule, a set or a jump that birdctl does not write."""
