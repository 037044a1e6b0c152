"""How the next token is chosen."""

import pytest
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.errors import BackendError, Unsupported
from orchestrator_core.generation import GenerationConfig
from support.tiny_hf_backend import ASK, answer

pytestmark = pytest.mark.slow


def test_greedy_is_repeatable_and_ignores_the_other_fields(backend: TransformersBackend) -> None:
    plain = answer(backend)
    assert plain
    assert answer(backend, seed=5, top_k=3, top_p=0.2, min_p=0.5) == plain
    assert answer(backend, greedy=False, temperature=0) == plain


def test_a_seed_repeats_an_answer_and_another_changes_it(backend: TransformersBackend) -> None:
    free = {"greedy": False, "temperature": 2.0, "top_k": 0, "top_p": 1.0}
    assert answer(backend, seed=1, **free) == answer(backend, seed=1, **free)
    assert len({answer(backend, seed=seed, **free) for seed in range(4)}) > 1
    assert len({answer(backend, seed=None, **free) for _ in range(4)}) > 1


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_each_filter_at_its_narrowest_leaves_the_likeliest_token(
    backend: TransformersBackend, narrow: dict[str, object]
) -> None:
    wide = {"greedy": False, "temperature": 5.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 3}
    assert answer(backend, **wide) != answer(backend)
    assert answer(backend, **{**wide, **narrow}) == answer(backend)


def test_the_repetition_penalty_keeps_a_token_from_coming_back(backend: TransformersBackend) -> None:
    from orchestrator_core.backends.transformers_model import TorchSampler, torch

    logits = torch.tensor([5.0, 4.0, -1.0])
    plain = TorchSampler(GenerationConfig(greedy=True, repetition_penalty=1.0), "cpu")
    strict = TorchSampler(GenerationConfig(greedy=True, repetition_penalty=1.5), "cpu")
    assert [plain.choose(logits, [0]), strict.choose(logits, [0]), strict.choose(logits, [])] == [0, 1, 0]
    assert strict.choose(logits, [0, *[2] * 64]) == 0  # forgotten after 64 tokens
    assert answer(backend, repetition_penalty=10.0) != answer(backend)


def test_numbers_that_overflowed_are_named() -> None:
    from orchestrator_core.backends.transformers_model import TorchSampler, torch

    with pytest.raises(BackendError, match="overflowed"):
        TorchSampler(GenerationConfig(), "cpu").choose(torch.tensor([float("nan"), 1.0]), [])


@pytest.mark.parametrize("constraint", [{"json_schema": {}}, {"grammar": 'root ::= "a"'}])
def test_constraints_are_refused_with_a_way_out(
    backend: TransformersBackend, constraint: dict[str, object]
) -> None:
    with pytest.raises(Unsupported, match="grammar or JSON schema") as caught:
        backend.generate(ASK, GenerationConfig.model_validate(constraint))
    assert "GGUF" in str(caught.value.hint)
