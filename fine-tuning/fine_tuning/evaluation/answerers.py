"""Models that answer questions greedily, for evaluation.

model.gguf               llama.cpp, with a LoRA as GGUF where one is given
folder with config.json  transformers, with a LoRA adapter's folder where one is given
adapter's folder         the same; its base is named in it
http://host:port/v1      an OpenAI-compatible server
"""

from __future__ import annotations

import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fine_tuning.errors import BaseModelError
from fine_tuning.training.base_model import PLAIN_TEMPLATE, load_base, resolved
from fine_tuning.training.precision import ComputeDevice, this_device
from fine_tuning.training.recipe import TrainingRecipe

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; the default is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 1


GREEDY = Sampling()
CHAT_DEFAULTS = Sampling(temperature=0.7, top_p=0.9, top_k=50, repetition_penalty=1.15)
"""What a chat uses when nobody asks for anything else."""


ADAPTER_CONFIG = "adapter_config.json"
PENALTY_WINDOW = 64
"""Tokens the repetition penalty looks back on, as in the engine."""


class Answerer(ABC):
    """One loaded model."""

    def answer(
        self, question: str, *, system: str = "", max_tokens: int = 96, sampling: Sampling = GREEDY
    ) -> str:
        """The answer to one question, with a system text in front of it where given."""
        asked = [{"role": "user", "content": question}]
        messages = [{"role": "system", "content": system}, *asked] if system else asked
        return self.reply(messages, max_tokens=max_tokens, sampling=sampling)

    @abstractmethod
    def reply(self, messages: Messages, *, max_tokens: int = 96, sampling: Sampling = GREEDY) -> str:
        """The answer to the last of these messages, without blanks around it."""

    def surprise(self, messages: Messages, answer: str) -> tuple[float, int] | None:
        """Negative log-likelihood (nats) of an answer and its tokens; None where it cannot be known."""
        return None

    @abstractmethod
    def close(self) -> None: ...


def open_model(
    path: Path | str,
    *,
    adapter: Path | None = None,
    remote_model: str = "",
    four_bit: bool = False,
    threads: int = 2,
    window: int = 2048,
) -> Answerer:
    """The model at a path or URL; see the table above.

    Args:
        adapter: a LoRA as GGUF for a GGUF file, else an adapter's folder.
        remote_model: what a server calls the model.
        four_bit: load a Hugging Face model in NF4, as it was trained on.
        window: tokens of prompt and answer, of a GGUF file.

    Raises:
        FileNotFoundError: there is no model. BaseModelError: it, or its adapter, cannot be loaded.
    """
    if str(path).startswith(("http://", "https://")):
        from fine_tuning.evaluation.remote_answerer import RemoteAnswerer

        return RemoteAnswerer(str(path), remote_model)
    path = Path(path)
    if path.is_file():
        if adapter is not None and not adapter.is_file():
            raise FileNotFoundError(f"{str(adapter)!r} is no LoRA as GGUF, which a GGUF file needs.")
        return GgufAnswerer(path, adapter=adapter, threads=threads, window=window)
    source = str(path)
    if adapter is None and (path / ADAPTER_CONFIG).is_file():
        source, adapter = _base_of(path), path
    elif not (path / "config.json").is_file():
        raise FileNotFoundError(f"{source!r} is neither a GGUF file nor a folder with a config.json.")
    if adapter is not None and not (adapter / ADAPTER_CONFIG).is_file():
        raise FileNotFoundError(f"{str(adapter)!r} is no folder with an {ADAPTER_CONFIG}.")
    return FolderAnswerer(source, adapter=adapter, threads=threads, gpu=True, four_bit=four_bit)


class GgufAnswerer(Answerer):
    """Runs in this process; the cache of the last prompt is reused where the beginning is the same."""

    def __init__(
        self, path: Path, *, adapter: Path | None = None, threads: int = 2, window: int = 2048
    ) -> None:
        import llama_cpp

        try:
            self.llm: Any = llama_cpp.Llama(
                str(path),
                n_ctx=window,
                n_threads=threads,
                n_threads_batch=threads,
                verbose=False,
                seed=1,
                lora_path=None if adapter is None else str(adapter),
            )
            if adapter is not None and not self.llm._lora_adapter:
                raise ValueError("the LoRA is unusable")  # 0.3.36 takes the null pointer for one
        except (ValueError, RuntimeError) as error:
            parts = " with ".join(repr(part.name) for part in (path, adapter) if part)
            raise BaseModelError(f"llama.cpp cannot load {parts}: {error}") from error
        metadata = self.llm.metadata
        self._vocabulary = llama_cpp.llama_model_get_vocab(self.llm.model)
        self._ends = llama_cpp.llama_vocab_is_eog
        self._render = template_renderer(
            metadata.get("tokenizer.chat_template") or PLAIN_TEMPLATE,
            eos=self._text(self.llm.token_eos()),
        )

    def reply(self, messages: Messages, *, max_tokens: int = 96, sampling: Sampling = GREEDY) -> str:
        prompt_tokens = self._prompt(messages)
        self._check_room(len(prompt_tokens), max_tokens)
        self.llm.set_seed(sampling.seed)
        # Not create_completion: it does not count tokens while a character is incomplete, and a
        # model that babbles bytes never completes one.
        produced = self.llm.generate(
            prompt_tokens,
            temp=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=0.0,
            repeat_penalty=1.0,
            logits_processor=_penalty(len(prompt_tokens), sampling.repetition_penalty),
        )
        going = takewhile(lambda token: not self._ends(self._vocabulary, token), islice(produced, max_tokens))
        return str(self.llm.detokenize(list(going)).decode("utf-8", "replace")).strip()

    def surprise(self, messages: Messages, answer: str) -> tuple[float, int] | None:
        import llama_cpp

        tokens = self.llm.tokenize(answer.encode(), add_bos=False, special=False)
        prompt_tokens = self._prompt(messages)
        self._check_room(len(prompt_tokens), len(tokens))
        self.llm.eval(prompt_tokens[self._reused(prompt_tokens) :])
        total = 0.0
        for token in tokens:
            # One by one: logits of all positions at once would take gigabytes with a large vocabulary.
            logits = np.ctypeslib.as_array(
                llama_cpp.llama_get_logits_ith(self.llm.ctx, -1), (self.llm.n_vocab(),)
            )
            total += _nats(logits, token)
            self.llm.eval([token])
        return total, len(tokens)

    def close(self) -> None:
        self.llm.close()

    def _reused(self, prompt: list[int]) -> int:
        """How many of the prompt's first tokens stay evaluated from what was evaluated before; never all of them,
        for the last one's logits are wanted. `generate` does the same by itself."""
        pairs = zip(self.llm.input_ids[: self.llm.n_tokens].tolist(), prompt[:-1], strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        recurrent = self.llm._is_recurrent or self.llm._is_hybrid
        if recurrent or not self.llm._ctx.kv_cache_seq_rm(-1, same, -1):
            self.llm.reset()
            return 0
        self.llm.n_tokens = same
        return same

    def _check_room(self, prompt: int, answer: int) -> None:
        if prompt + answer > self.llm.n_ctx():
            raise BaseModelError(
                f"A prompt of {prompt} and an answer of {answer} tokens do not fit into a window of "
                f"{self.llm.n_ctx()}: raise --window, or lower --max_tokens."
            )

    def _prompt(self, messages: Messages) -> list[int]:
        tokens: list[int] = self.llm.tokenize(self._render(messages).encode(), add_bos=True, special=True)
        return tokens

    def _text(self, token: int) -> str:
        return str(self.llm.detokenize([token], special=True).decode("utf-8", "replace"))


class FolderAnswerer(Answerer):
    """transformers; greedy only.

    Args:
        source: a folder, or a name on the hub.
        gpu: use one where there is one, in half precision; else the processor in float32.
        four_bit: NF4, wherever it runs.
    """

    def __init__(
        self,
        source: Path | str,
        *,
        adapter: Path | None = None,
        threads: int = 2,
        gpu: bool = False,
        four_bit: bool = False,
    ) -> None:
        import torch
        from transformers import AutoTokenizer

        torch.set_num_threads(threads)
        self._torch = torch
        self._device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(adapter if own else source)
            device = this_device() if self._device == "cuda" else ComputeDevice("cpu")
            recipe = TrainingRecipe(quantization="nf4" if four_bit else "none")
            self.model: Any = load_base(str(source), recipe, device)
            self.model.config.use_cache = True
            if adapter is not None:
                from peft import PeftModel

                with warnings.catch_warnings():  # peft asks transformers by a name that it gives up
                    warnings.simplefilter("ignore", FutureWarning)
                    self.model = PeftModel.from_pretrained(self.model, adapter)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise BaseModelError(f"The model {str(adapter or source)!r} cannot be loaded: {error}") from error
        self.model.eval()
        self._render = template_renderer(
            self.tokenizer.chat_template or PLAIN_TEMPLATE, eos=self.tokenizer.eos_token
        )

    def reply(self, messages: Messages, *, max_tokens: int = 96, sampling: Sampling = GREEDY) -> str:
        if sampling != GREEDY:
            raise ValueError("A Hugging Face folder is only evaluated greedily; export it as GGUF to sample.")
        ids = self._torch.tensor([self._prompt(messages)], device=self._device)
        with self._torch.no_grad():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=self._torch.ones_like(ids),
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
                do_sample=False,
            )
        return str(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)).strip()

    def surprise(self, messages: Messages, answer: str) -> tuple[float, int] | None:
        prompt = self._prompt(messages)
        tokens = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        ids = self._torch.tensor([prompt + tokens], device=self._device)
        with self._torch.no_grad():
            logits = self.model(ids).logits[0, len(prompt) - 1 : -1].float().cpu().numpy()
        return sum(_nats(row, token) for row, token in zip(logits, tokens, strict=True)), len(tokens)

    def close(self) -> None:
        del self.model

    def _prompt(self, messages: Messages) -> list[int]:
        text = (self.tokenizer.bos_token or "") + self._render(messages)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _base_of(adapter: Path) -> str:
    """The folder, or the name on the hub, of the model that an adapter belongs to.

    Raises:
        BaseModelError: it is not named, or not there.
    """
    try:
        config = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8"))
        name = str(config["base_model_name_or_path"] or "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError(f"The adapter {str(adapter)!r} does not name its base: {error!r}") from error
    return resolved(name)


def _nats(logits: Any, token: int) -> float:
    values = np.asarray(logits, dtype=np.float64)
    highest = float(values.max())
    return highest + math.log(float(np.exp(values - highest).sum())) - float(values[token])


def _penalty(prompt: int, penalty: float) -> Any:
    """The repetition penalty as the engine applies it: on the answer, not on the prompt's words.
    llama-cpp-python's own counts the prompt, and makes the words of a question costly to use."""
    from llama_cpp import LogitsProcessorList

    def penalised(ids: Any, logits: Any) -> Any:
        said = ids[prompt:][-PENALTY_WINDOW:]
        logits[said] = np.where(logits[said] > 0, logits[said] / penalty, logits[said] * penalty)
        return logits

    return LogitsProcessorList([penalised] if penalty != 1.0 else [])


def template_renderer(template: str, *, bos: str = "", eos: str = "") -> Any:
    """Renders messages by a model's template, in a sandbox; without BOS where that is added as a token."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    compiled = environment.from_string(template)

    def render(messages: Messages, *, add_generation_prompt: bool = True) -> str:
        return compiled.render(
            messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=add_generation_prompt
        )

    return render


def _refuse(message: str) -> None:
    raise ValueError(message)
