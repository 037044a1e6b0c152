from __future__ import annotations

import torch
from fine_tuning.tiny.packing import Piece, Row, to_batch


def row(*pieces: tuple[int, ...], beginning: tuple[int, ...] = (1, 2), length: int = 10, gap: int = 0) -> Row:
    made = Row(beginning, length, gap)
    for tokens in pieces:
        assert made.add(Piece(tokens, tuple(i > 0 for i in range(len(tokens)))))
    return made


def test_a_piece_that_does_not_fit_is_refused():
    made = row((3, 4, 5), length=6)
    assert made.room() == 1
    assert not made.add(Piece((6, 7), (False, True)))
    assert made.add(Piece((6,), (True,)))


def test_a_piece_sees_the_beginning_and_itself_only():
    batch = to_batch([row((3, 4), (5, 6), length=7)], pad=0)
    seen = batch.mask[0, 0]
    assert seen[3].tolist() == [True, True, True, True, False, False, False]
    assert seen[5].tolist() == [True, True, False, False, True, True, False]


def test_the_beginning_sees_no_piece():
    batch = to_batch([row((3, 4))], pad=0)
    assert batch.mask[0, 0, 1].tolist() == [True, True] + [False] * 8


def test_every_token_sees_at_least_itself_so_that_attention_is_a_number():
    batch = to_batch([row((3, 4), length=8)], pad=0)
    assert batch.mask[0, 0].diagonal().all()


def test_positions_of_every_piece_continue_the_beginning_after_the_gap():
    batch = to_batch([row((3, 4, 5), (6, 7), gap=100)], pad=0)
    assert batch.positions[0].tolist()[:7] == [0, 1, 102, 103, 104, 102, 103]


def test_each_learned_token_is_predicted_from_the_one_before_in_its_piece():
    batch = to_batch([row((3, 4, 5)), row((6, 7), (8, 9))], pad=0)
    pairs = list(zip(batch.predict_at.tolist(), batch.targets.tolist(), strict=True))
    assert pairs == [(2, 4), (3, 5), (12, 7), (14, 9)]
    flat = batch.ids.flatten()
    assert flat[batch.predict_at].tolist() == [3, 4, 6, 8]


def test_packed_pieces_are_predicted_as_if_each_stood_alone():
    """The promise of packing, on a real attention: the same logits as without neighbours."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        sliding_window=None,
    )
    model = MistralForCausalLM(config).eval()
    pieces = [(5, 6, 7), (8, 9), (10, 11, 12, 13)]
    packed = to_batch([row(*pieces, beginning=(1, 2, 3), length=16)], pad=0)
    with torch.no_grad():
        logits = model(
            input_ids=packed.ids, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False
        ).logits[0]
        start = 3
        for tokens in pieces:
            alone = model(torch.tensor([[1, 2, 3, *tokens]])).logits[0, 3:]
            assert torch.allclose(logits[start : start + len(tokens)], alone, atol=1e-5)
            start += len(tokens)
