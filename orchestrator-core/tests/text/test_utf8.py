import itertools

from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.text.utf8 import Utf8Assembler


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def assemble(pieces: list[bytes]) -> list[str]:
    assembler = Utf8Assembler()
    return [*(assembler.feed(piece) for piece in pieces), assembler.flush()]


@given(st.text(), st.lists(st.integers(0, 500)))
def test_any_cut_of_valid_text_gives_the_text(text: str, places: list[int]) -> None:
    released = assemble(cut(text.encode(), places))
    assert "".join(released) == text
    assert released[-1] == ""


@given(st.binary(), st.lists(st.integers(0, 500)))
def test_any_cut_of_broken_bytes_gives_what_the_whole_gives(data: bytes, places: list[int]) -> None:
    assert "".join(assemble(cut(data, places))) == data.decode("utf-8", "replace")


@given(st.text(alphabet="aé漢🦜"), st.text(min_size=1))
def test_an_assembler_is_as_new_after_flush(first: str, second: str) -> None:
    assembler = Utf8Assembler()
    assembler.feed(first.encode() + b"\xf0\x9f")
    assembler.flush()
    assert assembler.feed(second.encode()) == second


def test_half_an_emoji_is_kept_back_and_reported_as_pending() -> None:
    assembler = Utf8Assembler()
    assert assembler.feed(b"a\xf0\x9f") == "a"
    assert assembler.pending == b"\xf0\x9f"
    assert assembler.feed(b"\xa6\x9c") == "🦜"
    assert assembler.pending == b""


def test_a_dangling_tail_becomes_one_replacement_character() -> None:
    assembler = Utf8Assembler()
    assert assembler.feed(b"ok\xf0\x9f\xa6") == "ok"
    assert assembler.flush() == "\ufffd"
    assert assembler.flush() == ""
