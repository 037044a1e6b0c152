from __future__ import annotations

from orchestrator_core.engine.chunk import MIN_CHUNK, PAUSE_S, ChunkSize


def test_without_running_answers_a_step_may_be_as_large_as_allowed() -> None:
    chunk = ChunkSize(256)
    chunk.observe(256, seconds=60.0)
    assert chunk.size(answers_running=False) == 256


def test_beside_running_answers_a_step_takes_about_the_allowed_pause() -> None:
    chunk = ChunkSize(256)
    assert chunk.size(answers_running=True) == 256, "nothing is known yet"
    chunk.observe(100, seconds=100 * PAUSE_S / 64)
    assert chunk.size(answers_running=True) == 64
    for _ in range(50):
        chunk.observe(64, seconds=64 * PAUSE_S / 128)
    assert 120 <= chunk.size(answers_running=True) <= 128


def test_a_slow_machine_still_gets_on_and_a_small_setting_is_kept() -> None:
    slow = ChunkSize(256)
    slow.observe(256, seconds=1000.0)
    assert slow.size(answers_running=True) == MIN_CHUNK
    small = ChunkSize(16)
    small.observe(16, seconds=1000.0)
    assert small.size(answers_running=True) == 16


def test_steps_with_hardly_any_prefill_teach_nothing() -> None:
    chunk = ChunkSize(256)
    chunk.observe(1, seconds=10.0)
    assert chunk.size(answers_running=True) == 256
