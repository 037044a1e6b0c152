from __future__ import annotations

from orchestrator_core.engine.plan import Request
from support.fake_kv import engine, question


def test_a_cancelled_request_is_out_of_the_next_step_and_its_cells_can_be_taken() -> None:
    kv = engine(cells=300, window=300)
    kv.submit(Request(1, question(1, 100), max_new=150))
    kv.step(chunk=128)
    kv.submit(Request(2, question(2, 100), max_new=150))
    kv.step(chunk=128)
    assert kv.scheduler.load().waiting == 1
    assert kv.scheduler.cancel(1)
    step = kv.step(chunk=128)
    assert step.cancelled == [1]
    assert [piece.request_id for piece in step.pieces] == [2]
    assert kv.scheduler.cancel(1) is False


def test_cancelling_while_a_step_is_computed_takes_effect_in_the_next() -> None:
    kv = engine()
    kv.submit(Request(1, question(1), max_new=9))
    step = kv.begin(chunk=64)
    kv.scheduler.cancel(1)
    kv.end(step)
    assert kv.step().cancelled == [1]
    assert kv.scheduler.load().running == 0


def test_a_waiting_request_can_be_cancelled() -> None:
    kv = engine(max_running=1)
    kv.submit(Request(1, question(1), max_new=9))
    kv.submit(Request(2, question(2), max_new=9))
    kv.step()
    kv.scheduler.cancel(2)
    kv.run()
    assert kv.finished == [1]
    assert kv.cancelled == [2]
