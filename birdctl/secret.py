"""A text that must never be printed: BGP passwords."""

from __future__ import annotations


class Secret:
    """Compares and hashes by its text, but shows `***` in every repr, str, format and traceback.

    Only the renderer of bird.conf calls `reveal()`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)
