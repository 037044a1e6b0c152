"""A client as DESIGN §6 wants it: asks, keeps the text from the events, and comes back at its offset when the
connection is lost. Also a program, for hosts other than this one; it prints what it saw as JSON.

    python stream_client.py URL '{"message": "Hello", "message_id": "…"}' [--key KEY] [--ca FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import requests

SILENCE_S = 30.0
"""Without even a ping for so long, the connection is taken for lost (pings come every 15 s)."""
PAUSE_S = 0.2


@dataclass
class Seen:
    """What a client saw of one answer.

    Args:
        tokens: (offset, text) of those that were not declared lost.
        times: seconds since the question, of each token.
        done: data of the last event; None when it never came.
        connections: how many it took.
    """

    run_id: str | None = None
    offset: int = 0
    tokens: list[tuple[int, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    seams: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    status: int | None = None
    connections: int = 0
    out_of_order: int = 0

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.tokens)

    @property
    def over(self) -> bool:
        return self.done is not None or self.error is not None


class StreamClient:
    """
    Args:
        patience_s: how long to go on after the question, over all connections.
    """

    def __init__(
        self, url: str, *, key: str | None = None, verify: bool | str = True, patience_s: float = 60.0
    ) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = verify
        self._patience_s = patience_s
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, body: dict[str, Any], seen: Seen | None = None) -> Seen:
        """Ask and stay until the answer is there. With a `message_id` in the body, a question whose
        connection was lost before its run was known is simply sent again.

        Args:
            seen: filled while the answer comes, for who looks on; also the result.
        """
        seen, began = seen or Seen(), time.monotonic()
        while not seen.over and time.monotonic() - began < self._patience_s:
            try:
                with self._connect(seen, body) as response:
                    seen.connections += 1
                    seen.status = response.status_code
                    if response.status_code != 200:
                        seen.error = _body(response)
                        if response.status_code in (502, 503, 504):  # passing
                            seen.error = None
                            time.sleep(PAUSE_S)
                        continue
                    seen.run_id = response.headers.get("X-Run-Id", seen.run_id)
                    self._read(response, seen, began)
            except (requests.RequestException, OSError):
                if seen.run_id is None and "message_id" not in body:
                    raise
                time.sleep(PAUSE_S)
        return seen

    def _connect(self, seen: Seen, body: dict[str, Any]) -> requests.Response:
        timeout = (5.0, SILENCE_S)
        if seen.run_id is None:
            return self._session.post(f"{self._url}/chat/stream", json=body, stream=True, timeout=timeout)
        return self._session.get(
            f"{self._url}/runs/{seen.run_id}/stream",
            headers={"Last-Event-ID": str(seen.offset)},
            stream=True,
            timeout=timeout,
        )

    def _read(self, response: requests.Response, seen: Seen, began: float) -> None:
        for event in events(response):
            offset, kind, data = event
            if kind == "error":
                seen.error = data
                return
            if offset is not None:
                seen.out_of_order += offset <= seen.offset
                seen.offset = offset
            if kind == "seam":
                seen.seams.append(data)
                if "from" in data:
                    seen.tokens = [token for token in seen.tokens if token[0] <= data["from"]]
            elif "token" in data:
                seen.tokens.append((seen.offset, data["token"]))
                seen.times.append(time.monotonic() - began)
            elif data.get("done"):
                seen.done = data
                return


def events(response: requests.Response) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    """(offset, event name, data) of each event of the stream, as they come."""
    fields: dict[str, str] = {}
    rest = b""
    for part in response.iter_content(None):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line:
                name, _, value = line.decode().partition(": ")
                fields[name] = value
            elif "data" in fields:
                offset = int(fields["id"]) if "id" in fields else None
                yield offset, fields.get("event"), json.loads(fields["data"])
                fields = {}
            else:
                fields = {}


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        return {"error": {"message": response.text[:500]}}
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body", type=json.loads)
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--patience", type=float, default=60.0)
    given = parser.parse_args()
    client = StreamClient(given.url, key=given.key, verify=given.ca or True, patience_s=given.patience)
    json.dump(asdict(client.ask(given.body)), sys.stdout)


if __name__ == "__main__":
    main()
