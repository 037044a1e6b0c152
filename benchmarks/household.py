"""Four documents, a conversation and older ones, of the size and kind that a real memory has."""

from __future__ import annotations

from random import Random

_THINGS = (
    "the boiler", "the roof of the shed", "the tax return", "the bicycle", "the garden fence", "the piano",
    "the insurance", "the kitchen window", "the photo archive", "the school form", "the water meter",
    "the guest room", "the solar panels", "the car", "the greenhouse", "the cellar door", "the chimney",
    "the printer", "the letter to the landlord", "the birthday of Aunt Ida",
)  # fmt: skip
_PEOPLE = ("Marta", "Mr Okafor", "the landlord", "Jonas", "the plumber", "Aunt Ida", "the neighbour", "Lena")
_DEEDS = (
    "was measured twice, and the numbers differ by four centimetres",
    "has to be settled before the first frost, because the price rises then",
    "was promised for the week after Easter by {person}, in writing",
    "costs 340 euros with {person} and 415 with the firm from the leaflet",
    "is waiting for a part that {person} ordered on the ninth",
    "was discussed with {person}; nothing is decided, both of us want to sleep on it",
    "is done except for the paint, which {person} keeps in the hall cupboard",
    "needs a second look: {person} heard a noise there on Sunday evening",
)
_ASKED = (
    "What did we agree with {person} about {thing}?",
    "Can you draft two sentences to {person} concerning {thing}, friendly but firm?",
    "I am standing in front of {thing}. What was I going to check here?",
    "How much have we set aside for {thing}, and who wanted to pay?",
    "Remind me why {thing} was put off, and until when.",
    "{person} called again because of {thing}. What should I answer?",
)


class Household:
    """Texts about one household; the same seed gives the same."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)

    def sentence(self) -> str:
        choose = self._random.choice
        thing = choose(_THINGS)
        return f"{thing[0].upper()}{thing[1:]} {choose(_DEEDS).format(person=choose(_PEOPLE))}."

    def text(self, sentences: int) -> str:
        return " ".join(self.sentence() for _ in range(sentences))

    def question(self) -> str:
        choose = self._random.choice
        return choose(_ASKED).format(person=choose(_PEOPLE), thing=choose(_THINGS))

    def section(self, title: str, lines: int) -> str:
        return f"## {title}\n\n" + "\n".join(f"- {self.sentence()}" for _ in range(lines)) + "\n\n"

    def documents(self) -> dict[str, str]:
        """About 3,200 tokens of Mistral's tokenizer: a page, two of some pages, a log of weeks."""
        log = "# Session log\n\n" + "".join(
            f"## 2026-10-{day:02} 18:{day:02}\n\n{self.text(3)}\n\n" for day in range(1, 21)
        )
        return {
            "PORTFOLIO_CONTEXT.md": "# Portfolio\n\n" + self.section("The house", 8),
            "PROJECT_CONTEXT.md": "# Project\n\n"
            + "".join(self.section(title, 8) for title in ("Purpose", "Decisions", "Money", "People")),
            "SESSION_BRIEFING.md": "# Briefing\n\n"
            + "".join(self.section(title, 7) for title in ("Now", "Next", "Waiting for others")),
            "SESSION_LOG.md": log,
        }
