from __future__ import annotations

from ai_orchestrator.cli.link.sse import ServerEvent, events


def parse(text: str) -> list[ServerEvent]:
    return list(events(text.encode().split(b"\n")))


def test_events_have_name_data_and_id() -> None:
    assert parse('id: 1\ndata: {"token": "a"}\n\nid: 2\nevent: seam\ndata: {}\n\n') == [
        ServerEvent("message", '{"token": "a"}', "1"),
        ServerEvent("seam", "{}", "2"),
    ]


def test_pings_and_an_unfinished_event_are_dropped() -> None:
    assert parse(": ping\n\n: ping\n\ndata: x\n\ndata: cut off") == [ServerEvent("message", "x", None)]


def test_several_data_lines_are_joined_and_carriage_returns_ignored() -> None:
    assert parse("data: a\r\ndata:b\r\ndata\r\n\r\n") == [ServerEvent("message", "a\nb\n", None)]


def test_an_id_stays_until_another_one_comes() -> None:
    assert [event.id for event in parse("id: 7\ndata: a\n\ndata: b\n\n")] == ["7", "7"]
