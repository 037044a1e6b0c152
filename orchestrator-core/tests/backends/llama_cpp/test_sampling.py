from __future__ import annotations

from support.llama_backend import Make, ask


def test_a_seed_repeats_an_answer_and_none_varies_it(make: Make) -> None:
    backend = make("random")
    hot = {"greedy": False, "temperature": 1.5, "max_new_tokens": 30}
    assert ask(backend, "hi", seed=7, **hot) == ask(backend, "hi", seed=7, **hot)
    assert len({ask(backend, "hi", **hot) for _ in range(5)}) > 1
    assert ask(backend, "hi", seed=2**32 - 1, **hot) == ask(backend, "hi", seed=2**32 - 1, **hot)


def test_each_sampler_has_its_effect(make: Make) -> None:
    backend = make("random")
    best = ask(backend, "hi", max_new_tokens=30)
    hot: dict[str, object] = {
        "greedy": False,
        "temperature": 5.0,
        "max_new_tokens": 30,
        "seed": 1,
        "top_k": 0,
        "top_p": 1.0,
    }
    assert ask(backend, "hi", **hot) != best
    for narrowed in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 0.0}):
        assert ask(backend, "hi", **{**hot, **narrowed}) == best, narrowed
    assert ask(backend, "hi", max_new_tokens=30, repetition_penalty=5.0) != best
