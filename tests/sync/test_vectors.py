"""docs/vectors say what the code does, and Yjs itself agrees with them."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shared_context.documents.crdt import SharedLines
from shared_context.exchange.shared_documents import digest
from shared_context.exchange.wire import SyncAnswer, SyncRequest
from support import sync_vectors
from support.sync_vectors import FOLDER

YJS = "13.6.33"
SCRIPT = Path(__file__).parent / "check_yjs.mjs"


def vectors(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


CASES = vectors("documents.json")["cases"]


def test_the_vectors_are_those_the_code_makes() -> None:
    made = sync_vectors.document_vectors()
    assert _without_updates(vectors("documents.json")) == _without_updates(made)
    assert vectors("exchange.json") == sync_vectors.exchange_vectors()
    assert vectors("versions.json") == sync_vectors.version_vectors()


def test_a_server_and_a_client_take_what_the_vectors_say_they_are_sent() -> None:
    for step in vectors("exchange.json")["steps"]:
        SyncRequest.model_validate_json(json.dumps(step["request"]))
        SyncAnswer.model_validate_json(json.dumps(step["answer"]))


def _without_updates(content: Any) -> Any:
    """The same update can be written in several ways: the keys of a map have no order."""
    return [{key: value for key, value in case.items() if key != "updates"} for case in content["cases"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_updates_in_any_order_give_the_same(case: dict[str, Any]) -> None:
    first, *others = [base64.b64decode(update) for update in case["updates"]]
    for order in itertools.permutations(others):
        lines = SharedLines()
        for update in (first, *order):
            lines.receive(update)
        assert {path: lines.text(path) for path in lines.paths()} == case["texts"]
        vector = lines.state_vector()
        assert digest(vector, lines.update_since(vector)) == case["digest"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs node and npm")
def test_yjs_applies_our_updates_and_we_apply_its(tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", tmp_path, f"yjs@{YJS}"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"yjs cannot be installed here: {done.stderr[-200:]}")
    shutil.copy(SCRIPT, tmp_path)
    checked = subprocess.run(
        ["node", tmp_path / SCRIPT.name, FOLDER / "documents.json"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert checked.returncode == 0, checked.stderr
    answers = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [answer["name"] for answer in answers] == [case["name"] for case in CASES]
    for answer in answers:
        lines = SharedLines()
        lines.receive(base64.b64decode(answer["update"]))
        assert lines.texts(answer["path"]) == answer["lines"]
        assert "written with yjs" in answer["lines"]
        vector = lines.state_vector()
        assert digest(vector, lines.update_since(vector)) == answer["digest"]
