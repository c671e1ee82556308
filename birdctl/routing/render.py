"""From the model of a BIRD configuration to the text of bird.conf, through the templates of `bird-templates/`.

The templates print and never decide. Blocks (one session, one filter, ...) are kept by name and printed again only when
their value changed, so a render after a small change costs little.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import jinja2.bccache

from birdctl.errors import InputError
from birdctl.routing.model import Attributes, BirdConfig, Filter, Originated, PrefixPattern, Session, Term
from birdctl.secret import Secret

Block = Originated | Filter | Session

_PASSWORD = re.compile(r'password "[^"]*"')
TEMPLATES = Path(__file__).parent.parent / "bird-templates"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of bird.conf, and the digest that it defines as BIRDCTL_DIGEST. The text holds passwords: no repr."""

    text: str = field(repr=False)
    digest: str


def render(config: BirdConfig, templates: Path | None = None) -> Rendered:
    """The text of `config`, byte-identical for equal ones. Templates in the folder replace birdctl's of the same name.

    Raises InputError for a text that BIRD's grammar cannot hold, and for a template that is not one.
    """
    return _renderer((templates, TEMPLATES) if templates else (TEMPLATES,)).render(config)


@functools.cache
def _renderer(folders: tuple[Path, ...]) -> _Renderer:
    return _Renderer(folders)


class _Renderer:
    """The compiled templates of some folders, and the blocks of the last configuration."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701  # no HTML
            auto_reload=False,
            bytecode_cache=_Compiled(str(TEMPLATES / "__pycache__")),
        )
        self._environment.filters.update(FILTERS)
        self._printed: dict[tuple[str, str], tuple[object, str]] = {}
        self._last: dict[tuple[str, str], tuple[object, str]] = {}

    def render(self, config: BirdConfig) -> Rendered:
        self._last, self._printed = self._printed, {}
        body = self._print("bird", "the configuration", config=config, block=self._block).rstrip() + "\n"
        digest = _digest(body, tuple((each.name, each.password) for each in config.sessions if each.password))
        header = self._print("header", f"Node {config.node!r}", config=config, digest=digest)
        return Rendered(f"{header}\n\n{body}", digest)

    def _block(self, template: str, value: Block, **context: object) -> str:
        """The text of one block, kept from the last configuration when neither `value` nor `context` changed."""
        key, given = (template, value.name), (value, context)
        kept = self._last.get(key)
        if kept and kept[0] == given:
            text = kept[1]
        else:
            origin = value.origin if value.origin.isprintable() else ""
            text = self._print(template, origin or value.name, **{template: value}, **context)
        self._printed[key] = given, text
        return text

    def _print(self, template: str, origin: str, **context: object) -> str:
        try:
            return self._environment.get_template(f"{template}.conf.j2").render(context)
        except UnprintableError as error:
            raise InputError(origin, "", str(error)) from None
        except jinja2.TemplateError as error:
            raise InputError(f"template {template}.conf.j2", "", str(error)) from None


def _digest(body: str, passwords: tuple[tuple[str, Secret], ...]) -> str:
    """Names the text to everybody, so nobody must find a password by trying which one gives this digest."""
    shown = _PASSWORD.sub("password ***", body)
    return hashlib.sha256(shown.encode() + _stretched(passwords)).hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def _stretched(passwords: tuple[tuple[str, Secret], ...]) -> bytes:
    """A value that changes with any password and takes some 30 ms to compute (RFC 8018)."""
    if not passwords:
        return b""
    text = "\n".join(f"{name} {secret.reveal()}" for name, secret in passwords)
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"birdctl", 100_000)


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Compiled templates, kept as Python keeps compiled modules: compiling them takes a tenth of the agent's start.

    A folder that cannot be written makes it slower, not wrong.
    """

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)


class UnprintableError(ValueError):
    """BIRD's grammar, which has no escapes, cannot hold a text. The message never shows it: it may be a password."""


def quoted(text: str) -> str:
    """A BIRD string."""
    if not text.isprintable() or '"' in text:
        raise UnprintableError("BIRD cannot hold a text with quotes or control characters: choose one without")
    return f'"{text}"'


def password(secret: Secret) -> str:
    return quoted(secret.reveal())


def comment(text: str) -> str:
    """The text of a comment, on one line."""
    if not text.isprintable():
        raise UnprintableError("a name has control characters: choose one without")
    return text


def switch(value: bool) -> str:
    return "on" if value else "off"


def reach(session: Session) -> str:
    return f"multihop {session.multihop}" if session.multihop else "direct"


def condition(term: Term) -> str:
    """What must hold for a filter's term, as BIRD writes it."""
    conditions = [
        _one_of("proto", [quoted(name) for name in term.protocols]),
        _one_of("source", list(term.sources)),
        f"net ~ {term.prefix_set or prefixes(term.prefixes)}" if term.prefixes else "",
    ]
    return " && ".join(filter(None, conditions))


def _one_of(attribute: str, values: list[str]) -> str:
    alternatives = " || ".join(f"{attribute} = {value}" for value in values)
    return f"({alternatives})" if len(values) > 1 else alternatives


def prefixes(patterns: tuple[PrefixPattern, ...]) -> str:
    """A BIRD prefix set."""
    return f"[ {', '.join(map(_pattern, patterns))} ]"


def _pattern(pattern: PrefixPattern) -> str:
    return f"{pattern.prefix}{{{pattern.min_length},{pattern.max_length}}}"


def assignments(attributes: Attributes) -> list[str]:
    """The statements that set a route's attributes, without semicolons."""
    return [
        *(f"bgp_community.add(({asn},{value}))" for asn, value in attributes.communities),
        *(f"bgp_large_community.add(({asn},{one},{two}))" for asn, one, two in attributes.large_communities),
        *([f"bgp_med = {attributes.med}"] if attributes.med is not None else []),
        *([f"bgp_local_pref = {attributes.local_pref}"] if attributes.local_pref is not None else []),
        *(f"bgp_path.prepend({asn})" for asn in attributes.prepend),
    ]


FILTERS: dict[str, Callable[..., object]] = {
    "quoted": quoted,
    "password": password,
    "comment": comment,
    "switch": switch,
    "reach": reach,
    "condition": condition,
    "prefixes": prefixes,
    "assignments": assignments,
}
