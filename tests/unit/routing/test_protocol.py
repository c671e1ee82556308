"""The control protocol: lines out of bytes, wherever the stream is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.errors import BackendError
from birdctl.routing.protocol import MAX_LINE, Line, LineReader, Reply
from tests.unit.routing.recorded import FOLDER, VERSIONS, lines, reply

RECORDED = sorted(FOLDER.glob("*/*.txt"))

CASES = {
    "one line": (b"0013 Daemon is up\n", [Line(13, "Daemon is up", last=True)]),
    "no text": (b"0000 \n", [Line(0, "", last=True)]),
    "more lines": (b"1000-BIRD 2\n0013 up\n", [Line(1000, "BIRD 2"), Line(13, "up", last=True)]),
    "same code again": (b"1011-a\n b\n0013 c\n", [Line(1011, "a"), Line(1011, "b"), Line(13, "c", last=True)]),
    "indented again": (b"1006-a\n   b\n0000 \n", [Line(1006, "a"), Line(1006, "  b"), Line(0, "", last=True)]),
    "asynchronous before": (b"+Config timeout expired\n0018 ok\n", [Line(18, "ok", last=True)]),
    "asynchronous between": (
        b"1011-a\n+note\n b\n0013 c\n",
        [Line(1011, "a"), Line(1011, "b"), Line(13, "c", last=True)],
    ),
    "an error is an end too": (
        b"0002-Reading\n8002 f:1:1 bad\n",
        [Line(2, "Reading"), Line(8002, "f:1:1 bad", last=True)],
    ),
    # These three begin with 0 and end nothing, which is where other readers stop.
    "commit": (
        b"0002-Reading\n0022-Undo scheduled in 30 s\n0003 Reconfigured\n",
        [Line(2, "Reading"), Line(22, "Undo scheduled in 30 s"), Line(3, "Reconfigured", last=True)],
    ),
    "text like a code": (b"1007-a\n 0000 b\n0000 \n", [Line(1007, "a"), Line(1007, "0000 b"), Line(0, "", last=True)]),
    "bytes that are no text": (b"0013 \xff\n", [Line(13, "\ufffd", last=True)]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_line_says_by_its_first_characters_what_it_is(name: str) -> None:
    data, expected = CASES[name]
    assert LineReader().feed(data) == expected


@pytest.mark.parametrize("name", CASES)
def test_a_reply_cut_in_two_at_any_byte_is_the_same(name: str) -> None:
    data, expected = CASES[name]
    for cut in range(len(data) + 1):
        reader = LineReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == expected


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_reply_byte_by_byte_is_the_same(path: Path) -> None:
    data, reader = path.read_bytes(), LineReader()
    found = [line for byte in data for line in reader.feed(bytes([byte]))]
    assert found == LineReader().feed(data)
    assert [line.last for line in found] == [False] * (len(found) - 1) + [True]


@given(data=st.data())
def test_a_recorded_reply_in_any_pieces_is_the_same(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(RECORDED)).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    reader = LineReader()
    found = [
        line
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for line in reader.feed(whole[start:end])
    ]
    assert found == LineReader().feed(whole)


@pytest.mark.parametrize("version", VERSIONS)
def test_replies_follow_one_another_on_a_connection(version: str) -> None:
    names = ("configure-timeout", "configure-unconfirmed", "configure-confirm", "status", "parse-error")
    reader = LineReader()
    together = b"".join((FOLDER / version / f"{name}.txt").read_bytes() for name in names)
    assert reader.feed(together) == [line for name in names for line in lines(version, name)]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\n",
        b"\n",
        b" first line without a code\n",
        b"12345 five digits\n",
        b"001x no\n",
        b"0013\n",
    ],
)
def test_what_is_not_birds_protocol_is_an_error(data: bytes) -> None:
    with pytest.raises(BackendError, match="not BIRD's control protocol"):
        LineReader().feed(data)


def test_a_code_is_not_carried_over_to_the_next_reply() -> None:
    reader = LineReader()
    reader.feed(b"1000-BIRD\n0013 up\n")
    with pytest.raises(BackendError):
        reader.feed(b" continued\n")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    reader = LineReader()
    assert reader.feed(b"1000-" + b"x" * (MAX_LINE - 5)) == []
    with pytest.raises(BackendError, match="more than 65536 bytes"):
        reader.feed(b"x")


@pytest.mark.parametrize(
    ("name", "code", "failed"),
    [
        ("status", 13, False),
        ("eval", 23, False),
        ("eval-undefined", 9001, True),
        ("parse-error", 9001, True),
        ("check-bad", 8002, True),
        ("configure-confirm", 18, False),
        ("configure-confirm-again", 19, False),
        ("configure-undo-again", 19, False),
        ("routes-none", 8001, True),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_last_line_says_how_it_went(version: str, name: str, code: int, failed: bool) -> None:
    found = reply(version, name)
    assert (found.code, found.failed) == (code, failed)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_change_that_waits_for_its_confirm_says_how_long(version: str) -> None:
    found = reply(version, "configure-unconfirmed")
    assert found.text(3) == "Daemon is up and running"
    assert (found.text(22) or "").startswith("Configuration unconfirmed, undo in 59.")
    assert reply(version, "configure-status").text(22) is None


def test_a_reply_without_a_code_has_no_text_for_it() -> None:
    assert Reply((Line(0, "", last=True),)).text(22) is None
