"""A training stands still while a file is fresh, and no longer."""

import json
import os
from types import SimpleNamespace

import pytest
from fine_tuning.training import pausing
from fine_tuning.training.pausing import (
    FRESH_S,
    METRICS_FILE,
    PAUSE_FILE,
    is_paused,
    supervised,
    wait_while_paused,
)


def test_a_fresh_file_pauses_and_one_that_nobody_touches_any_more_does_not(tmp_path):
    file = tmp_path / "pause"
    assert not is_paused(file)
    file.touch()
    assert is_paused(file)
    os.utime(file, (0, file.stat().st_mtime - FRESH_S - 1))
    assert not is_paused(file)


def test_it_waits_until_the_file_is_gone_or_the_training_shall_end(tmp_path):
    file = tmp_path / "pause"
    file.touch()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            file.unlink()

    wait_while_paused(file, sleep=sleep)
    assert len(slept) == 3
    file.touch()
    wait_while_paused(file, unless=lambda: True, sleep=pytest.fail)
    wait_while_paused(None, sleep=pytest.fail)


def test_nothing_is_added_to_a_training_that_nobody_supervises(monkeypatch):
    monkeypatch.delenv(PAUSE_FILE, raising=False)
    monkeypatch.delenv(METRICS_FILE, raising=False)
    assert supervised() == []


def test_a_supervised_training_stands_still_and_writes_its_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv(PAUSE_FILE, str(tmp_path / "pause"))
    monkeypatch.setenv(METRICS_FILE, str(tmp_path / "metrics"))
    waited = []
    monkeypatch.setattr(pausing, "wait_while_paused", lambda file, **_: waited.append(file))
    (callback,) = supervised()
    state = SimpleNamespace(global_step=3, max_steps=9, is_world_process_zero=True)
    callback.on_step_end(None, state, None)
    callback.on_log(None, state, None, logs={"loss": 0.5})
    assert waited == [tmp_path / "pause"]
    assert json.loads((tmp_path / "metrics").read_text()) == {"step": 3, "of": 9, "loss": 0.5}
