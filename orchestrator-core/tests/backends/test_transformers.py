"""The `transformers` backend with a tiny model of random weights, on the CPU."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orchestrator_core.backends.base import FinishReason, Generation, Prompt
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.errors import (
    BackendError,
    ConfigurationError,
    ContextLengthExceeded,
    MissingExtra,
    ModelNotFound,
    ModelUnusable,
    Overloaded,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import HF_SEED_MODEL, Settings
from support.openai_server import HttpDouble
from support.tiny_hf import CONTEXT_LENGTH, TEMPLATE, save_adapter, save_model, save_sentencepiece_tokenizer

if TYPE_CHECKING:
    from orchestrator_core.backends.transformers_model import Tokens

pytestmark = pytest.mark.slow

ASK = Prompt.raw("<s>[INST] the cat sat on [/INST]")
GREEDY = GenerationConfig(greedy=True, max_new_tokens=24, repetition_penalty=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture(scope="module")
def backend(folder: Path) -> TransformersBackend:
    return make(folder)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def make(path: Path | str, **sections: dict[str, object]) -> TransformersBackend:
    model = {"backend": "transformers", "path": str(path), **sections.pop("model", {})}
    engine = {
        "threads": 1,
        **sections.pop("engine", {}),
    }  # so small that a second thread only gets in the way
    return TransformersBackend(Settings.model_validate({"model": model, "engine": engine, **sections}))


def said(generation: Generation) -> str:
    return "".join(token.text for token in generation)


def answer(backend: TransformersBackend, **config: object) -> str:
    return said(backend.generate(ASK, GenerationConfig.model_validate({**GREEDY.model_dump(), **config})))


# --- tokens ---


def test_bos_is_there_exactly_once(backend: TransformersBackend) -> None:
    assert backend.count_prompt(Prompt.raw("<s>[INST] a [/INST]")) == backend.count_prompt(
        Prompt.raw("[INST] a [/INST]")
    )
    assert backend.count_tokens("<s>") == 1
    assert backend.special_tokens().adds_bos


def test_a_cut_control_token_is_text(backend: TransformersBackend) -> None:
    whole, cut = Prompt(("say </s> now",)), Prompt(("say <", "/s> now"))
    assert backend.count_prompt(cut) > backend.count_prompt(whole)


def test_special_tokens_and_template_come_from_the_tokenizer(backend: TransformersBackend) -> None:
    special = backend.special_tokens()
    assert (special.bos, special.eos) == ("<s>", "</s>")
    assert {"<s>", "</s>", "[INST]", "[/INST]"} <= special.control
    assert backend.chat_template() == TEMPLATE


def test_random_bytes_of_a_random_model_are_whole_characters(backend: TransformersBackend) -> None:
    for seed in range(3):
        config = GenerationConfig(
            seed=seed, temperature=5, top_k=0, top_p=1, max_new_tokens=60, repetition_penalty=1
        )
        generation = backend.generate(ASK, config)
        tokens = list(generation)
        assert all(token.text for token in tokens)
        "".join(token.text for token in tokens).encode()  # surrogates would fail
        assert sum(token.count for token in tokens) <= generation.usage.completion_tokens


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> "Tokens":
    from orchestrator_core.backends.transformers_model import Tokens

    return Tokens(str(save_sentencepiece_tokenizer(tmp_path_factory.mktemp("spm"))))


def test_a_tokenizer_that_prepends_spaces_does_so_once_only(sentencepiece: "Tokens") -> None:
    """Mistral 7B's: pieces of one prompt would otherwise grow spaces between them."""
    whole = sentencepiece.prompt(("say hello",))
    assert sentencepiece.prompt(("say he", "llo")) == whole
    assert sentencepiece.decode(whole) == "say hello"
    assert sentencepiece.decode(sentencepiece.prompt(("a", " b", "", "c"))) == "a bc"
    assert sentencepiece.continued("") == []


@pytest.mark.parametrize("text", ["hello you", "漢字 and 🦜🦜", "a  b\n\n c", "🦜", "x" * 40])
def test_text_shown_token_by_token_is_the_text(
    sentencepiece: "Tokens", backend: TransformersBackend, text: str
) -> None:
    from orchestrator_core.backends.transformers_model import TokenText

    for tokens in (sentencepiece, backend._model().tokens):
        before = tokens.prompt(("question",))
        shown = TokenText(tokens, before)
        pieces = [shown.push(token) for token in tokens.continued(" " + text)]
        assert "".join(pieces) == " " + text
        assert shown.flush(cut_off=False) == ""
        assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(("cut_off", "rest"), [(True, ""), (False, "\ufffd")])
def test_half_a_character_at_the_end(sentencepiece: "Tokens", cut_off: bool, rest: str) -> None:
    from orchestrator_core.backends.transformers_model import TokenText

    shown = TokenText(sentencepiece, sentencepiece.prompt(("q",)))
    first_bytes = sentencepiece.continued("🦜")[:2]
    assert [shown.push(token) for token in first_bytes] == ["", ""]
    assert shown.flush(cut_off=cut_off).replace("\ufffd\ufffd", "\ufffd") == rest


# --- sampling ---


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
    from orchestrator_core.backends.transformers_model import Sampler, torch

    logits = torch.tensor([5.0, 4.0, -1.0])
    plain = Sampler(GenerationConfig(greedy=True, repetition_penalty=1.0), "cpu")
    strict = Sampler(GenerationConfig(greedy=True, repetition_penalty=1.5), "cpu")
    assert [plain.choose(logits, [0]), strict.choose(logits, [0]), strict.choose(logits, [])] == [0, 1, 0]
    assert strict.choose(logits, [0, *[2] * 64]) == 0  # forgotten after 64 tokens
    assert answer(backend, repetition_penalty=10.0) != answer(backend)


def test_numbers_that_overflowed_are_named() -> None:
    from orchestrator_core.backends.transformers_model import Sampler, torch

    with pytest.raises(BackendError, match="overflowed"):
        Sampler(GenerationConfig(), "cpu").choose(torch.tensor([float("nan"), 1.0]), [])


# --- limits ---


def test_a_full_window_ends_with_length(folder: Path) -> None:
    backend = make(folder)
    backend.load()
    backend._loaded.weights.end_ids = frozenset()  # type: ignore[union-attr]
    generation = backend.generate(
        Prompt.raw("the " * 200), GREEDY.model_copy(update={"max_new_tokens": 1000})
    )
    said(generation)
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.prompt_tokens + generation.usage.completion_tokens == CONTEXT_LENGTH


def test_the_window_is_the_smaller_of_model_and_settings(folder: Path, backend: TransformersBackend) -> None:
    assert backend.context_length == CONTEXT_LENGTH
    assert make(folder, model={"context_length": 100}).context_length == 100
    assert make(folder, model={"context_length": 1000}).context_length == CONTEXT_LENGTH


def test_a_prompt_that_cannot_fit_is_refused(backend: TransformersBackend) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"holds {CONTEXT_LENGTH}"):
        backend.generate(Prompt.raw("the " * 300), GREEDY)


@pytest.mark.parametrize("constraint", [{"json_schema": {}}, {"grammar": 'root ::= "a"'}])
def test_constraints_are_refused_with_a_way_out(
    backend: TransformersBackend, constraint: dict[str, object]
) -> None:
    with pytest.raises(Unsupported, match="grammar or JSON schema") as caught:
        backend.generate(ASK, GenerationConfig.model_validate(constraint))
    assert "GGUF" in str(caught.value.hint)


# --- the cache ---


def test_a_prefix_that_was_computed_is_reused_and_changes_nothing(folder: Path) -> None:
    backend = make(folder)
    first = backend.generate(ASK, GREEDY)
    text = said(first)
    assert first.usage.cached_tokens == 0
    longer = Prompt.raw(f"{ASK.text}{text}</s>[INST] and the dog [/INST]")
    warm = backend.generate(longer, GREEDY)
    warm_text = said(warm)
    assert warm.usage.cached_tokens >= first.usage.prompt_tokens
    assert warm_text == said(make(folder).generate(longer, GREEDY))


def test_the_same_prompt_again_computes_its_last_token_only(folder: Path) -> None:
    backend = make(folder)
    said(backend.generate(ASK, GREEDY))
    again = backend.generate(ASK, GREEDY)
    said(again)
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


def test_the_size_of_prefill_chunks_changes_nothing(folder: Path) -> None:
    prompt = Prompt.raw("the cat sat on the mat and the dog sat on the log " * 4)
    answers = {
        said(make(folder, engine={"prefill_chunk": size}).generate(prompt, GREEDY)) for size in (16, 17, 512)
    }
    assert len(answers) == 1


def test_a_continued_answer_goes_on_as_if_it_had_not_stopped(backend: TransformersBackend) -> None:
    generation = backend.generate(ASK, GREEDY)
    texts = [token.text for token in generation]
    made = generation._ids[backend.count_prompt(ASK) :]  # type: ignore[attr-defined]
    encode = backend._loaded.tokens.continued  # type: ignore[union-attr]
    # Only where the text shown is tokenised as it was made must the rest be the same to the letter.
    places = [n for n in range(1, len(texts)) if encode("".join(texts[:n])) == made[:n]]
    assert places
    for place in places[-3:]:
        shown = "".join(texts[:place])
        more = backend.generate(
            ASK, GREEDY.model_copy(update={"max_new_tokens": 24 - place}), continue_from=shown
        )
        assert shown + said(more) == "".join(texts)
        assert more.usage.prompt_tokens == backend.count_prompt(ASK)


# --- side by side ---


def test_more_answers_than_places_wait_or_are_refused(folder: Path) -> None:
    backend = make(folder, engine={"max_sequences": 1, "max_queue": 1})
    first, second = backend.generate(ASK, GREEDY), backend.generate(ASK, GREEDY)
    with pytest.raises(Overloaded):
        backend.generate(ASK, GREEDY)
    tokens = iter(first)
    next(tokens)
    shown: list[str] = []
    waiting = threading.Thread(target=lambda: shown.append(said(second)))
    waiting.start()
    assert (backend.stats().running, backend.stats().waiting) == (1, 1)
    rest = said(first)
    waiting.join(30)
    assert rest
    assert shown == [answer(backend)]
    assert (backend.stats().running, backend.stats().waiting) == (0, 0)


def test_a_waiting_answer_can_be_cancelled_and_a_dropped_one_frees_its_place(folder: Path) -> None:
    backend = make(folder, engine={"max_sequences": 1, "max_queue": 1})
    tokens = iter(backend.generate(ASK, GREEDY))
    next(tokens)
    second = backend.generate(ASK, GREEDY)
    second.cancel()
    assert said(second) == ""
    assert second.finish_reason is FinishReason.CANCELLED
    third = backend.generate(ASK, GREEDY)
    del third
    assert backend.generate(ASK, GREEDY) is not None


def test_running_out_of_memory_is_said_and_the_next_answer_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator_core.backends.transformers_model import torch

    backend = make(folder)
    text = answer(backend)
    model = backend._loaded.weights._model  # type: ignore[union-attr]

    def no_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "forward", no_memory)
        generation = backend.generate(ASK, GREEDY)
        with pytest.raises(BackendError, match="ran out of memory while answering") as caught:
            said(generation)
    assert caught.value.code == "out_of_memory"
    assert "load_in_bits 4" in str(caught.value.hint)
    assert answer(backend) == text
    assert backend.stats().running == 0


# --- quantised, with an adapter ---


@pytest.mark.parametrize(("bits", "words"), [(4, "nf4 double"), (8, "int8")])
def test_quantised_models_answer_on_a_cpu(folder: Path, bits: int, words: str) -> None:
    import bitsandbytes

    backend = make(folder, quantization={"enabled": True, "load_in_bits": bits})
    assert answer(backend, max_new_tokens=4)
    assert backend.describe().quantization == words
    layer = backend._loaded.weights._model.model.layers[0].mlp.up_proj  # type: ignore[union-attr]
    assert isinstance(layer, bitsandbytes.nn.Linear4bit if bits == 4 else bitsandbytes.nn.Linear8bitLt)


def test_four_bits_use_nf4_with_double_quantisation(folder: Path) -> None:
    backend = make(folder, quantization={"enabled": True})
    backend.load()
    state = backend._loaded.weights._model.model.layers[0].mlp.up_proj.weight.quant_state  # type: ignore[union-attr]
    assert (state.quant_type, state.nested) == ("nf4", True)


@pytest.mark.parametrize("quantized", [False, True])
def test_an_adapter_changes_the_answer(folder: Path, tmp_path: Path, quantized: bool) -> None:
    adapter = save_adapter(tmp_path / "adapter", folder)
    quantization = {"enabled": quantized}
    tuned = make(folder, lora={"enabled": True, "path": str(adapter)}, quantization=quantization)
    assert answer(tuned) != answer(make(folder, quantization=quantization))
    assert tuned.describe().adapter == str(adapter)


@pytest.mark.parametrize("relative", [False, True])
def test_the_folder_of_an_adapter_brings_its_base_model_along(
    folder: Path, tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "models" / "base")
    adapter = save_adapter(tmp_path / "models" / "tuned", tmp_path / "models" / "base")
    if relative:
        rename_base(adapter, "../base")
    tuned = make("models/tuned", model={"backend": "auto"})
    explicit = make(folder, lora={"enabled": True, "path": str(adapter)})
    assert answer(tuned) == answer(explicit) != answer(make(folder))
    assert tuned.describe().adapter == "models/tuned"
    assert tuned.describe().model == ("../base" if relative else str(tmp_path / "models" / "base"))


def test_a_base_model_that_is_missing_is_named(folder: Path, tmp_path: Path, offline: None) -> None:
    adapter = save_adapter(tmp_path / "tuned", folder)
    rename_base(adapter, "/nowhere/to/be/found")
    with pytest.raises(
        ModelNotFound, match=r"tuned' belongs to the base model '/nowhere/to/be/found'"
    ) as caught:
        make(adapter).load()
    assert "base_model_name_or_path" in str(caught.value.hint)
    rename_base(adapter, "nobody/no-such-base")
    with pytest.raises(
        ModelNotFound, match=r"tuned' .* 'nobody/no-such-base'.*HF_HUB_OFFLINE is set"
    ) as caught:
        make(adapter).load()
    assert "hf download nobody/no-such-base" in str(caught.value.hint)


def test_the_tokenizer_beside_an_adapter_is_used_where_it_fits(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoTokenizer

    adapter = save_adapter(tmp_path / "tuned", folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "of the adapter"
    tokenizer.save_pretrained(adapter)
    assert make(adapter).chat_template() == "of the adapter"
    tokenizer.add_tokens(["[one more]"])
    tokenizer.save_pretrained(adapter)
    assert make(adapter).chat_template() == TEMPLATE
    assert "using the model's own" in caplog.text


def rename_base(adapter: Path, base: str) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": base}))


def test_a_model_in_the_cache_is_loaded_without_asking_the_hub(
    folder: Path, tmp_path: Path, backend: TransformersBackend
) -> None:
    """In a process of its own: the hub's address is read when its library is imported."""
    snapshot = tmp_path / "hub" / "models--owner--cached" / "snapshots" / "0123"
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    code = """
import sys
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.settings import Settings
backend = create_backend(Settings.model_validate({"model": {"path": "owner/cached"}}))
sys.stdout.write(f"{backend.count_tokens('the cat')} {backend.describe().model}")
"""
    hub = HttpDouble(lambda exchange: exchange.json({}, 500))
    surroundings = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    surroundings["HF_ENDPOINT"] = hub.url.removesuffix("/v1")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env=surroundings,
        )
    finally:
        hub.close()
    assert done.stdout == f"{backend.count_tokens('the cat')} owner/cached"
    assert hub.seen == []


def test_a_fresh_adapter_changes_nothing_and_says_so(
    folder: Path, backend: TransformersBackend, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = make(folder, lora={"enabled": True})
    assert answer(fresh) == answer(backend)
    assert "a fresh adapter is attached" in caplog.text


def test_an_adapter_that_is_missing_or_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnusable, match="empty"):
        make(folder, lora={"enabled": True, "path": str(tmp_path / "empty")}).load()
    other = save_model(tmp_path / "other", hidden=32)
    adapter = save_adapter(tmp_path / "adapter", other)
    with pytest.raises(ModelUnusable, match="adapter"):
        make(folder, lora={"enabled": True, "path": str(adapter)}).load()
    with pytest.raises(ConfigurationError, match="target_modules"):
        make(folder, lora={"enabled": True, "target_modules": ["nothing_like_it"]}).load()


# --- loading ---


def test_describe_says_how_and_why(backend: TransformersBackend, folder: Path) -> None:
    backend.load()
    description = backend.describe()
    assert (description.backend, description.model, description.device) == (
        "transformers",
        str(folder),
        "cpu",
    )
    assert "torch finds no GPU" in description.device_reason
    assert description.details == {"dtype": "float32"}
    assert description.exact_token_counts


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model folder"):
        make(tmp_path / "absent").load()


def test_a_hub_id_that_cannot_be_had_says_what_to_do(offline: None) -> None:
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set") as caught:
        make("nobody/there-is-no-such-model").load()
    assert "hf download nobody/there-is-no-such-model" in str(caught.value.hint)
    assert TransformersBackend(Settings()).describe().model == HF_SEED_MODEL


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelUnusable, match="is a file"):
        make(tmp_path / "model.gguf").load()


@pytest.mark.parametrize(
    "damage", ["config", "weights", "tokenizer", "architecture", "own code", "no weights"]
)
def test_a_damaged_folder_is_unusable_and_can_be_mended(folder: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    config = json.loads((broken / "config.json").read_text())
    match damage:
        case "config":
            (broken / "config.json").write_text("{ not json")
        case "weights":
            weights = broken / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])
        case "no weights":
            (broken / "model.safetensors").unlink()
        case "tokenizer":
            (broken / "tokenizer.json").write_text("[]")
        case "architecture":
            (broken / "config.json").write_text(json.dumps({**config, "model_type": "unheard_of"}))
        case "own code":
            own = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
            (broken / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": own}))
    backend = make(broken)
    with pytest.raises(ModelUnusable, match="broken"):
        backend.load()
    shutil.rmtree(broken)
    shutil.copytree(folder, broken)
    assert answer(backend)


def test_without_torch_the_pip_command_is_given(folder: Path) -> None:
    """In a process of its own, because torch cannot be unimported here."""
    code = f"""
import sys
sys.modules["torch"] = None
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.errors import MissingExtra
from orchestrator_core.settings import Settings
backend = create_backend(Settings.model_validate({{"model": {{"path": {str(folder)!r}}}}}))
backend.describe()
try:
    backend.load()
except MissingExtra as error:
    assert isinstance(error.__cause__, ImportError)
    sys.stdout.write(error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Run: pip install 'orchestrator[hf]'"


def test_without_bitsandbytes_the_pip_command_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        make(folder, quantization={"enabled": True}).load()


def test_the_backend_module_imports_nothing_heavy() -> None:
    code = "import sys, orchestrator_core.backends.transformers as t; print({'torch', 'transformers', 'peft'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
