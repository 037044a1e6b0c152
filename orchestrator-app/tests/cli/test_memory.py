"""`orchestrator memory`, alone and through a running server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.command_line import fresh_user, orchestrator, serving


@pytest.fixture(params=["alone", pytest.param("served", marks=pytest.mark.slow)])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = fresh_user(tmp_path, "say:Fine.")
    with serving(variables) if request.param == "served" else nullcontext():
        yield variables


def told(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = orchestrator(env, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def items(env: dict[str, str]) -> dict[str, str]:
    return {
        item["text"]: item["item_id"] for item in json.loads(told(env, "memory", "list", "--json").stdout)
    }


def test_items_are_listed_changed_settled_and_forgotten(env: dict[str, str]) -> None:
    assert "no items yet" in told(env, "memory", "list").stderr
    told(env, "ask", "Please remember that I am allergic to nuts. TODO: buy a lamp")
    told(env, "handoff", "--yes", "--no-model")
    listed = told(env, "memory", "list").stdout
    assert "About the owner" in listed and "To do" in listed
    ids = items(env)
    told(env, "memory", "edit", ids["buy a lamp"], "buy a red lamp")
    assert items(env)["buy a red lamp"] == ids["buy a lamp"]
    told(env, "memory", "done", ids["buy a lamp"])
    archive = told(env, "backup").stdout.strip()
    nuts = ids["Please remember that I am allergic to nuts."]
    forgotten = told(env, "memory", "forget", nuts, "--yes", "--history")
    assert "Forgotten" in forgotten.stderr
    assert Path(archive).name in forgotten.stderr.replace("\n", "")
    assert items(env) == {}
    for name in ("portfolio", "log"):
        assert "nuts" not in told(env, "context", "show", name).stdout
    assert "allergic" not in told(env, "logs", "-q", "allergic").stdout


def test_an_unknown_id_is_told(env: dict[str, str]) -> None:
    done = orchestrator(env, "memory", "done", "nothere1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No item has the id 'nothere1'" in done.stderr
