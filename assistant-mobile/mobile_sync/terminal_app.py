"""The conversation on a phone's terminal: what is typed is asked by whatever road there is, which is always shown."""

from __future__ import annotations

import threading
from collections.abc import Callable

import click
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.tiers.run_stream import StreamEvent
from prompt_toolkit import PromptSession
from shared_context.errors import SharedContextError

from mobile_sync.client import PhoneClient

HEARTBEAT_S = 1.0
"""Between looks at the roads while the app is open: what is shown as connected was heard within `router.HEARTBEAT_S`."""

HELP = """\
/outbox          what waits, with its state
/retry ID        send an entry again
/delete ID       give an entry up
/sync            exchange the memory now
/status          roads, household, own model
/quit            leave (also: Ctrl-D)"""

_UNSAFE = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
del _UNSAFE[0x0A], _UNSAFE[0x09]

_WAYS = {"lan": "desktop, in this network", "vps": "by the VPS", "phone": "on this device"}


def safe(text: str) -> str:
    """Without what could steer a terminal."""
    return text.translate(_UNSAFE)


def road_line(client: PhoneClient) -> str:
    """Where a question would go now, and what waits."""
    status = client.status()
    ways = [road["way"] for road in status["roads"]]
    best = "lan" if "lan" in ways else "vps" if ways else "phone" if status["own_model"] else None
    where = "offline" if best is None else _WAYS[best]
    return f"{where} · {status['waiting']} waiting"


def show(events: object, write: Callable[[str], None], note: Callable[[str], None]) -> None:
    """One answer: its text, and in notes the roads, seams and who gave it."""
    shown = False
    for event in events:  # type: ignore[attr-defined]
        assert isinstance(event, StreamEvent)
        data = event.data
        match event.name:
            case "road":
                note(f"[{_WAYS[data['way']]}: {data['reason']}]")
            case "token":
                write(safe(str(data["token"])))
                shown = True
            case "seam":
                note(
                    ("\n" if shown else "")
                    + f"[{data.get('tier') or 'another tier'} goes on: {data.get('reason')}]"
                )
            case "done":
                write("\n")
                note(f"[{data['tier']} · {data['model']} · {data['reason']}]")
            case "queued":
                note(f"[waits in the outbox: {data['reason']}]")


def outbox_lines(client: PhoneClient) -> list[str]:
    return [
        f"{entry.entry_id}  {entry.state:<8}  {entry.kind:<9}  {entry.lane}: "
        f"{str(entry.body.get('message') or entry.body.get('text') or '')[:60]!r}"
        + (f"  ({entry.problem})" if entry.problem else "")
        for entry in client.outbox.entries()
    ]


class TerminalApp:
    """One session; the caller closes the client."""

    def __init__(self, client: PhoneClient, conversation_id: str | None) -> None:
        self._client = client
        self._conversation_id = conversation_id
        self._over = threading.Event()

    def run(self) -> None:
        """Until the user leaves."""
        session: PromptSession[str] = PromptSession(
            bottom_toolbar=lambda: road_line(self._client), refresh_interval=HEARTBEAT_S
        )
        for work in (self._client.keep_up, self._beat):
            threading.Thread(target=work, name="phone-app", daemon=True).start()
        note("/help lists the commands.")
        try:
            while True:
                try:
                    text = session.prompt("> ").strip()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return
                if text in ("/quit", "/exit"):
                    return
                if text:
                    self._handle(text)
        finally:
            self._over.set()

    def _handle(self, text: str) -> None:
        try:
            if text.startswith("/"):
                self._command(*text[1:].split(maxsplit=1))
            else:
                show(self._client.stream(text, self._conversation_id), _write, note)
        except KeyboardInterrupt:
            note("\n[left; the answer goes on, and the outbox looks it up]")
        except (OrchestratorError, SharedContextError) as error:
            note(f"\n{error.message} {error.hint or ''}")

    def _command(self, name: str = "", argument: str = "") -> None:
        client = self._client
        match name:
            case "outbox":
                note("\n".join(outbox_lines(client)) or "Nothing waits.")
            case "retry" | "delete" if argument:
                getattr(client.outbox, name)(argument)
                note("Done." if name == "retry" else "Deleted. What was sent before may have arrived.")
            case "sync":
                report = client.sync()
                note(f"{report.received} records received, {report.sent} sent.")
            case "status":
                note("\n".join(f"{name}: {value}" for name, value in client.status().items()))
            case _:
                note(HELP)

    def _beat(self) -> None:
        """Knock while somebody looks."""
        while not self._over.is_set():
            self._client.household.roads.choose(others=True)
            self._over.wait(HEARTBEAT_S)


def note(text: str) -> None:
    click.echo(click.style(safe(text), dim=True), err=True)


def _write(text: str) -> None:
    click.echo(text, nl=False)
