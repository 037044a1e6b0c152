from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_data.errors import DatasetSourceError, MalformedDataset
from training_data.reader import read_records, records_in
from training_data.records import Record

GOOD = {"instruction": "q", "input": "", "output": "a"}
said = st.text(min_size=1, max_size=12).filter(str.strip)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def faults(content: str | bytes, name: str = "d.jsonl") -> list[tuple[int, str]]:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    with pytest.raises(MalformedDataset) as caught:
        records_in(data, name)
    return [(fault.line, fault.message) for fault in caught.value.faults]


def test_both_forms_and_both_files_give_the_same_examples(tmp_path):
    pair = {"instruction": "q", "response": "a", "topic": "t"}
    chat = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "topic": "t",
    }
    (tmp_path / "a.json").write_text("\n" + json.dumps([pair, chat], indent=3))
    (tmp_path / "a.jsonl").write_bytes(
        b"\xef\xbb\xbf" + f"{json.dumps(pair)}\r\n\n{json.dumps(chat)}".encode()
    )
    listed, lined = read_records(tmp_path / "a.json"), read_records(tmp_path / "a.jsonl")
    assert [r.as_dict() for r in listed] == [r.as_dict() for r in lined]
    assert listed[0].as_dict() == listed[1].as_dict()
    assert listed[0].prompt == [{"role": "user", "content": "q"}]
    assert listed[0].completion == [{"role": "assistant", "content": "a"}]


def test_the_input_stands_below_the_instruction():
    (record,) = records_in(json.dumps(GOOD | {"input": "more"}).encode(), "d.jsonl")
    assert record.question == "q\n\nmore"


def test_every_fault_of_a_jsonl_file_is_named_with_its_line():
    lines = [
        json.dumps(GOOD),
        '{"instruction": "q"}',
        "",
        '{"instruction": "q", "output": 3}',
        "[1]",
        '{"instruction": "q", "output": "a"',
        '{"instruction": "q", "output": "a"} x',
        '{"instruction": "q", "output": "\\ud800"}',
        '{"instruction": "q", "output": NaN}',
        '{"instruction": "q", "output": "a", "output": "b"}',
        '{"instruction": " ", "output": "a"}',
        '{"instruction": "q", "output": "a", "response": "b"}',
        '{"instruction": "q", "output": "a", "messages": []}',
        '{"instruction": "q", "output": "a", "n": ' + "9" * 5000 + "}",
        "{" * 100_000,
        '{"a": ' + "[" * 100_000,
    ]
    found = faults("\n".join(lines))
    assert sorted({line for line, _ in found}) == [2, *range(4, 17)]


def test_a_fault_inside_a_list_is_on_the_line_of_its_field():
    text = '[\n {"instruction": "q",\n  "input": "",\n  "output": "a"},\n {\n  "instruction": "q",\n  "output":\n   null}\n]'
    assert faults(text, "d.json") == [(7, "output is a text, not null.")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[\n" + json.dumps(GOOD) + "\n" + json.dumps(GOOD) + "]", 3),
        ("[\n" + json.dumps(GOOD) + ",\n]", 3),
        ("[\n" + json.dumps(GOOD), 2),
        ("[\n" + json.dumps(GOOD) + "]\n\n;", 4),
        ("[]", 1),
        ("", 1),
        (" \n ", 1),
    ],
)
def test_a_broken_list_is_told_where_it_breaks(text, line):
    assert [number for number, _ in faults(text, "d.json")] == [line]


def test_bytes_that_are_not_utf8_are_found_on_their_line():
    assert faults(b"{}\n\xff\n")[0][0] == 2


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        ("user", "must be the assistant's"),
        ("assistant", "message 1"),
        ("system", "must be the assistant's"),
        ("user user assistant", "message 2"),
        ("user system assistant", "message 2"),
        ("system user assistant user", "must be the assistant's"),
        ("user robot", "'robot'"),
    ],
)
def test_a_chat_out_of_order_is_refused(roles, complaint):
    messages = [{"role": role, "content": "x"} for role in roles.split()]
    ((_, message),) = faults(json.dumps({"messages": messages}))
    assert complaint in message


def test_a_line_separator_inside_a_text_ends_no_line():
    text = json.dumps({"instruction": "a\u2028b\x85c", "output": "d"}, ensure_ascii=False)
    assert records_in(text.encode(), "d.jsonl")[0].question == "a\u2028b\x85c"


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(DatasetSourceError, match=r"nowhere\.json"):
        read_records(tmp_path / "nowhere.json")


@given(st.lists(st.tuples(said, said), min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_what_is_written_is_read(pairs, chat, indent):
    records = [Record.of(question, answer, topic="t") for question, answer in pairs]
    rows = [record.as_messages() if chat else record.as_dict() for record in records]
    read = records_in(json.dumps(rows, indent=indent).encode(), "d.json")
    assert [record.as_dict() for record in read] == [record.as_dict() for record in records]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.sampled_from(["d.json", "d.jsonl"]))
def test_any_bytes_are_read_or_refused_with_a_line(data, name):
    try:
        assert records_in(data, name)
    except MalformedDataset as error:
        assert all(1 <= fault.line <= data.count(b"\n") + 1 for fault in error.faults)


@given(
    st.lists(
        anything | st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "messages", "topic"), anything)),
        min_size=1,
        max_size=4,
    )
)
def test_any_json_is_read_or_each_bad_example_is_named(rows):
    lines = [json.dumps(row) for row in rows]
    try:
        assert len(records_in("\n".join(lines).encode(), "d.jsonl")) == len(rows)
    except MalformedDataset as error:
        named = {fault.line for fault in error.faults}
        for number, line in enumerate(lines, 1):
            if number not in named:
                assert records_in(line.encode(), "d.jsonl")
