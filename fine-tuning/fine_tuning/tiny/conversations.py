"""Draws training conversations: which facts, in which words, behind which beginning.

Everything about step n follows from the seed and n alone, so a training that was
interrupted goes on exactly as if it had not been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from training_data.associations import Associations
from training_data.dataset import Example, is_outside
from training_data.wording import thinned, vary

from fine_tuning.evaluation.surroundings import starter_documents, system_text, user_turn, with_documents
from fine_tuning.tiny.chat_format import answer, opening, question, spaced_question
from fine_tuning.tiny.packing import Piece, Row
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.tokenizer import encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHORTEST_BEGINNING, LONGEST_BEGINNING = 6, 14
"""Tokens of an answer that is learned only in its beginning."""

SPACED = 0.08
"""Share of questions between blanks."""

LONGEST_ROW = 1536
"""The longest prompt the server sends with a window of 2,048: a quarter stays for the answer."""


class Conversations:
    """Rows of training conversations.

    Args:
        examples: the training split only.
        tokenizer: the model's.
        recipe: shares and sizes.
    """

    def __init__(self, examples: Sequence[Example], tokenizer: Tokenizer, recipe: TinyRecipe) -> None:
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._starters = starter_documents()
        self._associations = Associations(examples)
        self._facts = _grouped([e for e in examples if not is_outside(e)], by_stem=False)
        self._outside = _grouped([e for e in examples if is_outside(e)], by_stem=True)

    def rows(self, step: int) -> list[Row]:
        """The rows of one step, all of one length."""
        recipe, random = self._recipe, Random(f"{self._recipe.seed}:step:{step}")
        kind = random.choices(("plain", "system", "documents"), recipe.shares(step))[0]
        if kind == "documents":
            return [self._row(random, kind, self._documents_length(random))]
        return [self._row(random, kind, recipe.step_tokens // 2) for _ in range(2)]

    def _documents_length(self, random: Random) -> int:
        normal = self._recipe.step_tokens
        return min(normal * 3 // 2, LONGEST_ROW) if random.random() < 0.15 else normal

    def _row(self, random: Random, kind: str, length: int) -> Row:
        system = ""
        if kind == "system":
            system = system_text(random)
        elif kind == "documents":
            system = with_documents(random, self._starters, limit=random.randint(300, length * 2))
        beginning = self._beginning(system)
        if len(beginning) > length * 2 // 3:
            beginning = self._beginning(system_text(random))
        gap = random.randrange(512) if kind != "documents" and random.random() < 0.3 else 0
        row = Row(beginning, length, gap)
        dated = bool(system) and random.random() < 0.7
        while row.add(self._conversation(random, bool(system), dated)):
            pass
        return row

    def _beginning(self, system: str) -> list[int]:
        """Tokens of the beginning as they are when a question follows: in `\\n\\nWhat` the
        two line ends are two tokens, at the end of a text they may be one."""
        return encode(self._tokenizer, opening(system) + "A")[:-1] if system else self._encode(opening())

    def _conversation(self, random: Random, after_system: bool, dated: bool) -> Piece:
        turns = random.choice((1, 1, 1, 1, 2, 3))
        tokens: list[int] = []
        learned: list[bool] = []
        for turn in range(turns):
            example = self._draw(random)
            text = self._wording(random, example)
            text = user_turn(random, text) if dated else text
            asked_tokens = self._question(random, text, after_system=after_system and turn == 0)
            answered = self._encode(answer(example.output))
            if turn == turns - 1 and random.random() < self._recipe.short_answers:
                answered = answered[: random.randint(SHORTEST_BEGINNING, LONGEST_BEGINNING)]
            tokens += asked_tokens + answered
            learned += [False] * len(asked_tokens) + [True] * len(answered)
        return Piece(tuple(tokens), tuple(learned))

    def _question(self, random: Random, text: str, *, after_system: bool) -> list[int]:
        if after_system:
            return self._encode("\n" + question(text, after_system=True))[1:]
        return self._encode(spaced_question(text) if random.random() < SPACED else question(text))

    def _wording(self, random: Random, example: Example) -> str:
        """The question as it is, varied, or replaced by telling words of its fact."""
        recipe, kind = self._recipe, random.random()
        if kind < recipe.vary:
            return vary(example.instruction, random)
        if kind < recipe.vary + recipe.thin:
            return thinned(example.instruction, random)
        if kind < recipe.vary + recipe.thin + recipe.associate and not is_outside(example):
            return self._associations.question(example.fact, random)
        return example.instruction

    def _draw(self, random: Random) -> Example:
        groups = self._facts
        if self._outside and (not groups or random.random() < self._recipe.outside_share):
            groups = self._outside
        return random.choice(random.choice(groups))

    def _encode(self, text: str) -> list[int]:
        return encode(self._tokenizer, text)


def _grouped(examples: Sequence[Example], *, by_stem: bool) -> list[list[Example]]:
    """Examples by fact, or by stem: each group is drawn equally often."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.stem if by_stem else example.fact].append(example)
    return list(groups.values())
