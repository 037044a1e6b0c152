"""What the probes share: each probe runs alone, in an environment that has nothing but its client."""

import json
import os
import sys
from collections.abc import Callable

URL = os.environ.get("ORCHESTRATOR_URL", "http://127.0.0.1:5000")
KEY = os.environ.get("ORCHESTRATOR_KEY", "any")
TEXT = "Hello there, you."
HELLO = [{"role": "user", "content": "Hi"}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "weather", "description": "The weather somewhere", "parameters": CITY}


def same(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


def tell(client: str, things: dict[str, Callable[[], object]]) -> None:
    """Try each thing; one line of JSON for each, as `run.mjs` writes them."""
    for what, run in things.items():
        try:
            run()
            ok, detail = True, ""
        except Exception as error:
            ok, detail = False, f"{type(error).__name__}: {error}"[:300]
        sys.stdout.write(json.dumps({"client": client, "what": what, "ok": ok, "detail": detail}) + "\n")
        sys.stdout.flush()
