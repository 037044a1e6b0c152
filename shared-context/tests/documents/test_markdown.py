from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from shared_context.documents.markdown import blocks, sections, split_lines, without_comments

PIECES = [
    "# One", "## Two ##", "###### six", "####### seven", "#tag", "#", "   ### indented", "    # code",
    "```", "```sh", "~~~", "````", "~~~~ x", "``` a`b", "   ```", "<!-- a -->", "<!-- open", "close -->",
    "<!-->", "text", "text <!-- b --> more", "text -->", "", "   ", "\t# tab", "## Title <!-- entry:x1 -->",
]  # fmt: skip
documents = st.lists(st.sampled_from(PIECES), max_size=25).map("\n".join)
REFERENCE = MarkdownIt("commonmark").disable(
    ["inline", "list", "blockquote", "lheading", "reference", "hr", "html_block"]
)


def headings_of_the_library(text: str) -> list[tuple[int, int, str]]:
    tokens = REFERENCE.parse(text)
    return [
        (token.map[0], int(token.tag[1:]), tokens[at + 1].content)
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.map
    ]


@settings(max_examples=300)
@given(documents.filter(lambda text: "<!--" not in text))
def test_headings_and_code_are_those_of_a_markdown_library(text: str) -> None:
    text += "\nend"  # the library does not count blank lines at the end of unclosed code
    found = list(blocks(split_lines(text)))
    assert [
        (block.start, block.level, block.title) for block in found if block.kind == "heading"
    ] == headings_of_the_library(text)
    fences = [token.map for token in REFERENCE.parse(text) if token.type == "fence" and token.map]
    assert [[block.start, block.stop] for block in found if block.kind == "code"] == fences


@given(documents | st.text(max_size=300))
@example("a\r\n# b\r\n")
@example("\x0b# no line\u2028# nor this")
def test_blocks_and_sections_hold_every_line_once(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    for parts in (list(blocks(lines)), sections(lines), sections(lines, 2)):
        assert [n for part in parts for n in range(part.start, part.stop)] == list(range(len(lines)))


def test_a_heading_inside_a_comment_or_code_is_none() -> None:
    lines = ["<!--", "# no", "-->", "# yes", "```", "# no", "```", "    # no", "## also"]
    assert [(part.start, part.level, part.title) for part in sections(lines) if part.level] == [
        (3, 1, "yes"),
        (8, 2, "also"),
    ]


def test_a_comment_that_is_never_closed_hides_nothing() -> None:
    text = "before\n<!-- open\n# heading\nafter"
    assert without_comments(text) == text
    assert [part.title for part in sections(text.split("\n"))] == ["", "heading"]


def test_comments_are_taken_out_with_the_blanks_before_them() -> None:
    assert (
        without_comments("## Day \t<!-- entry:x1 -->\n\nIt <!-- a\nb --> rained.") == "## Day\n\nIt rained."
    )
    assert without_comments("a <!-- b --><!-- c -->d <!-- open") == "ad <!-- open"


def test_code_keeps_what_looks_like_a_comment() -> None:
    text = "a <!-- no -->\n```html\n<!-- shown -->\n```\n<!-- no -->b"
    assert without_comments(text) == "a\n```html\n<!-- shown -->\n```\nb"


def test_a_line_that_breaks_ends_unclosed_code() -> None:
    lines = ["# a", "```", "x", "# b", "!# c", "y"]
    assert [part.title for part in sections(lines, breaks=lambda line: line.startswith("!"))] == ["a"]
    assert [block.kind for block in blocks(lines, breaks=lambda line: line.startswith("!"))] == [
        "heading", "code", "text"
    ]  # fmt: skip
