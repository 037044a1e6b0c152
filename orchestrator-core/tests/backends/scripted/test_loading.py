"""Loads that fail, or take their time."""

import threading

import pytest
from orchestrator_core.errors import ModelUnusable
from support.generations import said
from support.scripted import ScriptedBackend
from support.scripted_answers import ASK, config


def test_load_fails_as_often_as_told() -> None:
    backend = ScriptedBackend(["one"], load_errors=[ModelUnusable("corrupt")])
    with pytest.raises(ModelUnusable):
        backend.generate(ASK, config())
    assert not backend.stats().loaded
    assert said(backend.generate(ASK, config())) == "one"


def test_a_slow_load_waits_for_its_gate() -> None:
    gate = threading.Event()
    backend = ScriptedBackend(["one"], load_gate=gate)
    loader = threading.Thread(target=backend.load)
    loader.start()
    assert not backend.stats().loaded
    gate.set()
    loader.join(10)
    assert backend.stats().loaded


def test_closing_ends_a_load_that_never_would() -> None:
    backend = ScriptedBackend(load_gate=threading.Event())
    failed: list[BaseException] = []

    def load() -> None:
        try:
            backend.load()
        except ModelUnusable as error:
            failed.append(error)

    loader = threading.Thread(target=load)
    loader.start()
    while loader.is_alive():
        backend.close()
        loader.join(0.05)
    assert "closed" in str(failed[0])
