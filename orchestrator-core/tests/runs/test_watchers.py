from __future__ import annotations

import threading
from typing import Any

import pytest
from support.run_clients import TEXT, make_spec
from support.scripted import Gate, Reply, ScriptedBackend


def test_many_watchers_see_the_same_events_from_any_offset(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT * 20, gate=gate)]))
    run = manager.start(make_spec())
    seen: dict[int, list[Any]] = {}
    watchers = [
        threading.Thread(target=lambda after=after: seen.update({after: list(run.events(after))}))
        for after in range(30)
    ]
    for watcher in watchers:
        watcher.start()
    gate.open()
    for watcher in watchers:
        watcher.join(20)
    whole = list(run.events())
    assert seen == {after: whole[after:] for after in range(30)}


def test_a_run_outlives_its_watchers(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    run = manager.start(make_spec())
    gate.allow(2)
    watcher = run.events()
    assert next(watcher).data == {"token": "one"}
    watcher.close()
    gate.open()
    assert run.wait(10).text == TEXT


def test_waiting_for_a_run_is_bounded(servers: Any) -> None:
    gate = Gate()
    run = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)])).start(make_spec())
    with pytest.raises(TimeoutError, match="still"):
        run.wait(0)
    gate.open()
    run.wait(10)
