"""A GGUF that answers every prompt with one given sentence, and then ends.

A table from the last token to the next one cannot say a sentence in which a character
comes twice. So this is a small real transformer whose weights are computed, not trained:

1. attention: head j looks exactly j tokens back. Queries and keys are constants; RoPE turns
   them so that their product peaks at distance j. The residual stream then holds the codes of
   the last K tokens, side by side;
2. feed-forward: one unit per position of the sentence fires when the last tokens are the ones
   before that position. It compares up to K tokens, K being the smallest number for which no two
   positions look alike; at the beginning of the sentence there are fewer to compare;
3. output: a unit votes for the sentence's next byte, 4^n for n tokens compared, so the longest
   match wins over all shorter ones together; when nothing matches, the first byte wins.

The vocabulary is bytes: each character outside ASCII is several tokens. Because the model reads
the text itself, it also goes on in the middle: a prompt that ends in the first words of the sentence
(as with `continue_from`) is answered with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from gguf_vocabulary import EOS, FIRST_BYTE, MISTRAL_TEMPLATE, byte_vocabulary

CODE = 64
"""Dimensions of a token's code; also the size of an attention head."""

MAX_LOOKBACK = 16
SHARPNESS = 60.0
"""Attention score by which the wanted distance beats its neighbours: exp(-60) is nothing."""

FREQ_BASE = 10000.0
VOTE = 50.0


def scripted_model(
    path: Path | str,
    sentence: str,
    *,
    context: int = 4096,
    template: str | None = MISTRAL_TEMPLATE,
    add_bos: bool = True,
    name: str = "scripted",
    control: Sequence[str] = (),
) -> Path:
    """Write a model that answers any prompt with `sentence` and then end-of-sequence.

    It does so greedily and, for temperatures up to about 1, when sampling. A prompt whose end is also
    a beginning of the sentence is answered with what follows that beginning.

    Args:
        sentence: any text, at most a few thousand bytes.
        context: the window the file claims, in tokens.
        template: Jinja chat template for the metadata, or None.
        control: more control tokens; the model says them where the sentence spells them.

    Raises:
        ValueError: empty, or so repetitive that 16 bytes do not tell its positions apart.
    """
    path = Path(path)
    vocabulary = byte_vocabulary(control)
    script = [*(vocabulary.encode(sentence) if control else _bytes(sentence)), EOS]
    if len(script) == 1:
        raise ValueError("The sentence must not be empty.")
    weights = _Weights(script, len(vocabulary))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(vocabulary))
    writer.add_context_length(context)
    writer.add_embedding_length(weights.width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(weights.units)
    writer.add_head_count(weights.heads)
    writer.add_head_count_kv(1)
    writer.add_key_length(CODE)
    writer.add_value_length(CODE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(CODE)
    writer.add_rope_freq_base(FREQ_BASE)
    vocabulary.write(writer, template=template, add_bos=add_bos)
    for tensor, values in weights.tensors().items():
        writer.add_tensor(tensor, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _bytes(sentence: str) -> list[int]:
    return [FIRST_BYTE + byte for byte in sentence.encode("utf-8")]


def lookback(script: list[int]) -> int:
    """The smallest K for which the K tokens before a position occur before no other.

    Raises:
        ValueError: there is none up to MAX_LOOKBACK.
    """
    for length in range(1, MAX_LOOKBACK + 1):
        seen: set[tuple[int, ...]] = set()
        for position in range(length, len(script)):
            gram = tuple(script[position - length : position])
            if gram in seen:
                break
            seen.add(gram)
        else:
            return length
    raise ValueError(f"The sentence repeats itself: {MAX_LOOKBACK} bytes do not tell its positions apart.")


class _Weights:
    """The residual stream is: K codes | the constant 1 | votes, one per vocabulary entry."""

    def __init__(self, script: list[int], vocab: int) -> None:
        self.script = script
        self.vocab = vocab
        self.lookback = lookback(script)
        self.heads = max(1, self.lookback - 1)
        self.codes = _codes(vocab)
        self.constant = CODE * self.lookback
        self.votes = self.constant + 1
        self.width = _round_up(self.votes + vocab, 32)
        self.units = _round_up(len(script), 32)

    def tensors(self) -> dict[str, np.ndarray]:
        ones = np.ones(self.width)
        gate, up, down = self._feed_forward()
        return {
            "token_embd.weight": self._embedding(),
            # Norm weights undo the normalisation: vectors have a known length at both places.
            "blk.0.attn_norm.weight": ones * self._rms(1),
            "blk.0.attn_q.weight": self._queries(),
            "blk.0.attn_k.weight": self._keys(),
            "blk.0.attn_v.weight": self._values(),
            "blk.0.attn_output.weight": self._output(),
            "blk.0.ffn_norm.weight": ones * self._rms(self.lookback),
            "blk.0.ffn_gate.weight": gate,
            "blk.0.ffn_up.weight": up,
            "blk.0.ffn_down.weight": down,
            "output_norm.weight": ones * 2.0,
            "output.weight": self._readout(),
        }

    def _rms(self, codes: int) -> float:
        return float(np.sqrt((CODE * codes + 1) / self.width))

    def _embedding(self) -> np.ndarray:
        table = np.zeros((self.vocab, self.width))
        table[:, :CODE] = self.codes
        table[:, self.constant] = 1.0
        return table

    def _queries(self) -> np.ndarray:
        angles = FREQ_BASE ** (-np.arange(0, CODE, 2) / CODE)
        margin = float(np.sum(1.0 - np.cos(angles))) / np.sqrt(CODE)
        weights = np.zeros((self.heads * CODE, self.width))
        for head in range(self.heads):
            back = head + 1
            block = weights[head * CODE : (head + 1) * CODE, self.constant]
            block[0::2] = np.cos(-back * angles) * SHARPNESS / margin
            block[1::2] = np.sin(-back * angles) * SHARPNESS / margin
        return weights

    def _keys(self) -> np.ndarray:
        weights = np.zeros((CODE, self.width))
        weights[0::2, self.constant] = 1.0
        return weights

    def _values(self) -> np.ndarray:
        weights = np.zeros((CODE, self.width))
        weights[:, :CODE] = np.eye(CODE)
        return weights

    def _output(self) -> np.ndarray:
        """Head j's finding goes to slot j; slot 0 already holds the token itself."""
        weights = np.zeros((self.width, self.heads * CODE))
        for head in range(self.lookback - 1):
            rows = slice((head + 1) * CODE, (head + 2) * CODE)
            weights[rows, head * CODE : (head + 1) * CODE] = np.eye(CODE)
        return weights

    def _feed_forward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gate = np.zeros((self.units, self.width))
        up = np.zeros((self.units, self.width))
        down = np.zeros((self.width, self.units))
        steepness = 4.0 * VOTE
        for position, token in enumerate(self.script):
            compared = min(position, self.lookback)
            for back in range(compared):
                code = self.codes[self.script[position - 1 - back]]
                gate[position, back * CODE : (back + 1) * CODE] = steepness * code / CODE
            # All alike: a quarter above the threshold; one different: at least a quarter below.
            gate[position, self.constant] = steepness * (0.25 - compared)
            up[position, self.constant] = 1.0
            down[self.votes + token, position] = 4.0**compared
        return gate, up, down

    def _readout(self) -> np.ndarray:
        weights = np.zeros((self.vocab, self.width))
        weights[:, self.votes : self.votes + self.vocab] = np.eye(self.vocab)
        return weights


def _codes(count: int) -> np.ndarray:
    """Signs with small overlap: no two codes agree in more than three quarters of their places."""
    random = np.random.default_rng(7)
    chosen: list[np.ndarray] = []
    while len(chosen) < count:
        code = random.choice([-1.0, 1.0], size=CODE)
        if all(code @ other <= CODE / 2 for other in chosen):
            chosen.append(code)
    return np.stack(chosen)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
