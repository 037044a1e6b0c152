"""What one step computes: parts of prompts, a token of every running answer."""

from __future__ import annotations

from orchestrator_core.engine.plan import Request
from support.fake_kv import DOCUMENTS, engine, question


def test_a_request_is_prefilled_in_chunks_and_then_decoded_to_its_limit() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=5))
    kv.run(chunk=64)
    assert [len(step.prefill[0].tokens) for step in kv.steps if step.prefill] == [64, 64, 64, 8]
    assert len(kv.sampled[1]) == 5
    assert kv.finished == [1]


def test_only_answers_whose_prompt_is_done_count_as_decoding() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=5))
    kv.step(chunk=50)
    assert not kv.scheduler.decoding
    kv.step(chunk=200)
    assert kv.scheduler.decoding
    kv.run()
    assert not kv.scheduler.decoding


def test_a_running_answer_decodes_in_every_step_of_a_long_prefill() -> None:
    kv = engine()
    kv.submit(Request(1, question(1), max_new=50))
    kv.step()
    kv.submit(Request(2, DOCUMENTS, max_new=5))
    before = len(kv.sampled[1])
    steps = [kv.step(chunk=20) for _ in range(10)]
    assert all(step.prefill for step in steps)
    assert len(kv.sampled[1]) == before + 10
