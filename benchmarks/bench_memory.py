"""How much of what an owner has told reaches the prompt of the question that needs it.

    python benchmarks/bench_memory.py                        # both sets of facts, 4,096 tokens, 100 sessions
    python benchmarks/bench_memory.py --window 2048 --window 8192 --sessions 1000
    python benchmarks/bench_memory.py --http                 # told and asked over HTTP, on faked days
    python benchmarks/bench_memory.py --facts benchmarks/facts/develop.yaml --misses

Facts are told over so many sessions of small talk, one session a day, newest yesterday; four documents of about
3,200 tokens stand beside them and hold none. Then each question is asked from a fresh conversation
("fresh"), or at the end of the one conversation in which all facts were told ("same"), and its prompt is
searched for the fact. Nothing is generated. Tokens are those of a vocabulary of 32,000, as Mistral's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import psutil
import requests
import yaml
from household import Household
from measuring import console, describe_run, middle, show
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.settings import Settings
from shared_context.storage import identity
from small_talk import SmallTalk
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.scripted import ScriptedBackend

FACTS = Path(__file__).parent / "facts"
TURNS = 3
"""Of small talk in a session, besides the facts."""
AGES = ("oldest third", "middle third", "newest third")
BEFORE, AFTER = 8, 4
"""Characters around the key that must stand in the prompt too: "43" alone may be a minute."""


@dataclass(frozen=True, slots=True)
class Fact:
    """
    Args:
        key: the part of `told` that answers.
        stale: what `told` corrects, with the text in which it was told.
    """

    kind: str
    told: str
    key: str
    questions: tuple[tuple[str, str], ...]
    corrects: str = ""
    stale: str = ""

    def stands_in(self, prompt: str) -> bool:
        return _around(self.told, self.key) in prompt

    def stale_stands_before(self, prompt: str) -> bool:
        """Whether what it corrects is shown first, or alone."""
        if not self.stale or (
            self.corrects not in prompt and _around(self.corrects, self.stale) not in prompt
        ):
            return False
        return not self.stands_in(prompt) or prompt.rfind(_around(self.corrects, self.stale)) < prompt.rfind(
            _around(self.told, self.key)
        )


def _around(text: str, key: str) -> str:
    at = text.lower().index(key.lower())
    return text[max(0, at - BEFORE) : at + len(key) + AFTER].strip()


def facts_in(file: Path) -> list[Fact]:
    facts = []
    for kind, rows in yaml.safe_load(file.read_text("utf-8")).items():
        for row in rows:
            asked = [(kind, row["ask"])]
            if "paraphrase" in row:
                asked = [(f"{kind}, literal", row["ask"]), (f"{kind}, paraphrased", row["paraphrase"])]
            told = row.get("then") or row["tell"]
            facts.append(
                Fact(kind, told, row["key"], tuple(asked), row.get("first", ""), row.get("stale", ""))
            )
    return facts


@dataclass(frozen=True, slots=True)
class Said:
    """One turn that is told.

    Args:
        session: its number, oldest first.
    """

    session: int
    asked: str
    answered: str


def script(facts: Sequence[Fact], sessions: int, seed: int = 7) -> list[Said]:
    """Small talk with each fact in the session that its place in the list gives; a correction comes two
    thirds of all sessions after what it corrects."""
    talk = SmallTalk(seed)
    told: dict[int, list[str]] = defaultdict(list)
    for number, fact in enumerate(facts):
        place = number * 7919 % len(facts) / len(facts)
        if fact.corrects:
            told[int(place * sessions / 3)].append(fact.corrects)
            place = (place + 2) / 3
        told[int(place * sessions)].append(fact.told)
    said = []
    for session in range(sessions):
        language = talk.language()
        turns = [talk.turn(language) for _ in range(TURNS)]
        for text in told[session]:
            turns.insert(1, (text, "Thank you, I keep that in mind."))
        said += [Said(session, *turn) for turn in turns]
    return said


class Memory:
    """A memory in which facts were told; its prompts, without a model."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant

    def tell(self, said: Sequence[Said], *, one_conversation: bool) -> str:
        """Store all turns; the conversation that goes on."""
        store, conversation = self.assistant.conversations, ""
        for number, turn in enumerate(said):
            if not conversation or (not one_conversation and turn.session != said[number - 1].session):
                conversation = store.create().conversation_id
            moment = _moment(said, number)
            store.add_message(conversation, "user", turn.asked, created_at=identity.timestamp(moment))
            answered = identity.timestamp(moment + timedelta(minutes=1))
            store.add_message(conversation, "assistant", turn.answered, created_at=answered)
        self.settle()
        return conversation

    def settle(self) -> None:
        """Wait until all is indexed, vectors included."""
        memory = self.assistant.memory
        assert memory is not None
        memory.refresh()
        while (state := memory.embedding_state()) and state.embedded + state.refused < state.passages:
            if state.problem:
                raise click.ClickException(state.problem)
            time.sleep(0.05)

    def prompt(self, question: str, conversation: str | None) -> tuple[str, int]:
        """The prompt, and how many of its tokens are recalled."""
        fresh = conversation or self.assistant.conversations.create().conversation_id
        built = self.assistant.preview(fresh, question)
        return built.prompt.text, sum(use.tokens for use in built.receipt.retrieved)

    def hand_off(self, facts: Sequence[Fact]) -> None:
        """Put facts where a handoff puts what lasts about the owner."""
        context = self.assistant.context
        assert context is not None
        text = context.document("PORTFOLIO_CONTEXT.md").text
        lines = "".join(f"- {fact.told}\n" for fact in facts)
        context.edit("PORTFOLIO_CONTEXT.md", f"{text.rstrip()}\n\n## About the owner\n\n{lines}")

    def prepared_ms(self, question: str) -> float:
        """What looking up a question costs."""
        memory = self.assistant.memory
        assert memory is not None
        began = time.perf_counter()
        memory.recall(question, [], asked_at=identity.now(), without=())
        return 1000 * (time.perf_counter() - began)


class ServedMemory(Memory):
    """The same through a running server."""

    def __init__(self, assistant: Assistant, url: str) -> None:
        super().__init__(assistant)
        self._url = url

    def tell(self, said: Sequence[Said], *, one_conversation: bool) -> str:
        conversation = ""
        for number, turn in enumerate(said):
            if not conversation or (not one_conversation and turn.session != said[number - 1].session):
                conversation = self._post("/conversations", {})["conversation_id"]
            backend = self.assistant.backend
            assert isinstance(backend, ScriptedBackend)
            backend.enqueue(turn.answered)
            with patch.object(identity, "datetime", _days_as(_moment(said, number))):
                self._post("/chat", {"message": turn.asked, "conversation_id": conversation})
        self.settle()
        return conversation

    def prompt(self, question: str, conversation: str | None) -> tuple[str, int]:
        fresh = conversation or self._post("/conversations", {})["conversation_id"]
        asked = {"message": question, "conversation_id": fresh}
        answer = requests.get(f"{self._url}/context/preview", params=asked, timeout=60)
        answer.raise_for_status()
        built = answer.json()
        return built["prompt"], sum(use["tokens"] for use in built["receipt"]["retrieved"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(self._url + path, json=body, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _moment(said: Sequence[Said], number: int) -> datetime:
    """The newest session is yesterday's, and each one of a day."""
    day = datetime.now(UTC).replace(hour=8, minute=0) - timedelta(
        days=1 + said[-1].session - said[number].session
    )
    return day + timedelta(minutes=2 * (number % 300))


def _days_as(moment: datetime) -> type[datetime]:
    class Faked(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return moment

    return Faked


class Counting(ScriptedBackend):
    """Answers as told, and counts tokens as a model does."""

    def __init__(self, window: int, tokenizer: Tokenizer) -> None:
        super().__init__(otherwise="Yes.", context_length=window)
        self._tokenizer = tokenizer

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def count_prompt(self, prompt: Any) -> int:
        return 1 + sum(self.count_tokens(piece) for piece in prompt.pieces)


@contextmanager
def memory(window: int, folder: Path, *, http: bool, embeddings: str = "static") -> Iterator[Memory]:
    """The memory in this folder; of a new one, documents and nothing said yet."""
    with_documents(folder)
    settings = Settings.model_validate(
        {
            "data": folder,
            "model": {"context_length": window},
            "context": {"embeddings": embeddings},
            "server": {"port": 0},
        }
    )
    with ExitStack() as stack:
        assistant = stack.enter_context(open_assistant(settings, backend=Counting(window, tokenizer())))
        if not http:
            yield Memory(assistant)
            return
        from ai_orchestrator.server import Server

        server = Server(settings, assistant).start()
        stack.callback(server.stop, drain_s=0)
        yield ServedMemory(assistant, server.url)
        server.services.closing.set()


def with_documents(folder: Path) -> None:
    """Put four documents, which hold none of the facts, into a data folder."""
    context = folder / "context"
    context.mkdir(parents=True, exist_ok=True)
    for name, text in Household().documents().items():
        (context / name).write_text(text, "utf-8")


def tokenizer() -> Tokenizer:
    import wordllama

    return Tokenizer.from_file(
        str(Path(wordllama.__file__).parent / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )


class Figures:
    """Shares by kind and by age."""

    def __init__(self) -> None:
        self._shown: dict[str, list[bool]] = defaultdict(list)
        self.misses: list[str] = []
        self.recalled: list[int] = []

    def note(self, where: str, shown: bool) -> None:
        self._shown[where].append(shown)

    def share(self, where: str) -> str:
        values = self._shown.get(where, [])
        return f"{sum(values)}/{len(values)}" if values else ""

    @property
    def names(self) -> list[str]:
        return sorted(self._shown, key=lambda name: (name in AGES, name == "all"))


def measure(memory: Memory, facts: Sequence[Fact], conversation: str | None) -> Figures:
    figures = Figures()
    for number, fact in enumerate(facts):
        place = number * 7919 % len(facts) / len(facts)
        for kind, question in fact.questions:
            prompt, recalled = memory.prompt(question, conversation)
            figures.recalled.append(recalled)
            shown = fact.stands_in(prompt)
            figures.note(kind, shown)
            figures.note("all", shown)
            if not fact.stale:
                figures.note(AGES[int(3 * place)], shown)
            else:
                figures.note("stale first or alone", fact.stale_stands_before(prompt))
            if not shown:
                figures.misses.append(f"{kind}: {question} [{fact.key}]")
    lasting = [fact for fact in facts if fact.kind == "applied"]
    memory.hand_off(lasting)
    for fact in lasting:
        prompt, _ = memory.prompt(fact.questions[0][1], conversation)
        figures.note("applied, after a handoff", fact.stands_in(prompt))
    return figures


@click.command()
@click.option(
    "--facts",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sets of facts; by default both.",
)
@click.option("--window", "windows", multiple=True, type=int, default=(4096,), show_default=True)
@click.option("--sessions", "sizes", multiple=True, type=int, default=(100,), show_default=True)
@click.option("--embeddings", default="static", show_default=True, help="As `context.embeddings`.")
@click.option("--http", is_flag=True, help="Tell and ask over HTTP, as clients do.")
@click.option("--misses", is_flag=True, help="Also print the questions whose fact was not shown.")
def main(
    files: tuple[Path, ...],
    windows: tuple[int, ...],
    sizes: tuple[int, ...],
    embeddings: str,
    http: bool,
    misses: bool,
) -> None:
    """The share of facts that reach the prompt."""
    describe_run()
    for file in files or tuple(sorted(FACTS.glob("*.yaml"))):
        facts = facts_in(file)
        columns: dict[str, Figures] = {}
        for sessions in sizes:
            said = script(facts, sessions)
            for one_conversation in (False, True):
                with tempfile.TemporaryDirectory() as made:
                    folder = Path(made)
                    conversation = ""
                    for window in windows:
                        with memory(window, folder, http=http, embeddings=embeddings) as asked:
                            if not conversation:
                                conversation = asked.tell(said, one_conversation=one_conversation)
                            if not one_conversation:
                                times = [asked.prepared_ms(one.questions[0][1]) for one in facts]
                                console.print(
                                    f"{2 * len(said):,} messages: a question is looked up in {middle(times):.1f} ms "
                                    f"(worst {max(times):.1f}); "
                                    f"{psutil.Process().memory_info().rss / 2**20:.0f} MiB resident."
                                )
                            where = "same" if one_conversation else "fresh"
                            name = f"{window:,} {where} {sessions}"
                            columns[name] = measure(asked, facts, conversation if one_conversation else None)
        rows = [
            [kind, *(figures.share(kind) for figures in columns.values())]
            for kind in next(iter(columns.values())).names
        ]
        rows.append(["recalled tokens, median", *(f"{middle(one.recalled):.0f}" for one in columns.values())])
        show(f"{file.name}: facts in the prompt, by window, conversation, sessions", ["", *columns], rows)
        if misses:
            for name, figures in columns.items():
                console.print(f"\n{name}:\n  " + "\n  ".join(figures.misses), markup=False)


if __name__ == "__main__":
    main()
