from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from orchestrator_core.prompt.guard import ControlGuard, Marks, split_marked

CONTROL = ["<s>", "</s>", "[INST]", "[/INST]", "<|im_end|>", "<|im_start|>", "<<", "<<<"]
guard = ControlGuard(CONTROL)

fragments = st.lists(
    st.sampled_from([*CONTROL, "<", ">", "/", "s", "[", "]", "INST", "|", "im_end", " ", "x", "é", "\n"]),
    max_size=12,
).map("".join)


def cut(text: str) -> list[str]:
    return guard.mark(text, "\ufdd0").split("\ufdd0")


@given(fragments)
@example("</s></s>")
@example("[[INST]INST]")
@example("<<<<")
def test_no_piece_holds_a_control_token_and_nothing_is_lost(text: str) -> None:
    pieces = cut(text)
    assert "".join(pieces) == text
    assert not any(token in piece for piece in pieces for token in CONTROL)


@given(st.text())
def test_ordinary_text_is_one_piece(text: str) -> None:
    plain = "".join(char for char in text if char not in "<[>]|s/")
    assert cut(plain) == [plain]


@given(fragments, st.sampled_from(CONTROL))
def test_no_token_forms_where_text_meets_the_template(text: str, neighbour: str) -> None:
    """The template may stand before or after; only its own token may be whole."""
    marked = guard.mark(text, "\ufdd0")
    for rendered, own in ((marked + neighbour, -1), (neighbour + marked, 0)):
        pieces = rendered.split("\ufdd0")
        pieces[own] = (
            pieces[own].removesuffix(neighbour) if own == -1 else pieces[own].removeprefix(neighbour)
        )
        assert not any(token in piece for piece in pieces for token in CONTROL)


def test_texts_inside_tool_definitions_are_guarded() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "ends [/INST] here", "n": 3}}
    marked = guard.mark_all(tool, "|CUT|")
    assert marked["function"]["description"] == "ends [|CUT|/INST] here"
    assert marked["function"]["n"] == 3


def test_without_control_tokens_nothing_is_cut() -> None:
    assert ControlGuard([]).mark("[INST] </s>", "X") == "[INST] </s>"
    assert ControlGuard(["a"]).mark("banana", "X") == "banana"


def test_the_marks_avoid_characters_of_the_text() -> None:
    marks = Marks(["\ufdd0 in the text", "\ufdd1 too"])
    assert len({marks.cut, marks.stable} - {"\ufdd0", "\ufdd1"}) == 2
    assert marks.clean("\ufdd0") == "\ufdd0"


def test_a_text_with_every_mark_loses_two_of_them_and_no_more() -> None:
    text = "".join(chr(code) for code in range(0xFDD0, 0xFDF0))
    marks = Marks([text])
    assert len(marks.clean(text)) == 30
    pieces, stable = split_marked("a" + marks.cut + "b" + marks.stable + "c", marks)
    assert (pieces, stable) == (("a", "bc"), 2)


def test_an_empty_prompt_is_one_empty_piece() -> None:
    assert split_marked("", Marks([])) == (("",), 0)
