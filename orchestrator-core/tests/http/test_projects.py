"""Documents of another project than the active one, for one request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared_context.documents.document_names import DOCUMENT_NAMES
from support.desktop import Desk, desk
from support.scripted import ScriptedBackend, echo

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    house = tmp_path / "context" / "house"
    house.mkdir(parents=True)
    (house / BRIEFING).write_text("# House\n\nThe lamp is blue.\n")
    (house.parent / BRIEFING).write_text("# Boat\n\nThe mast is green.\n")
    with desk(tmp_path, ScriptedBackend(echo, context_length=4096)) as opened:
        yield opened


def get(here: Desk, path: str, status: int = 200) -> Any:
    answer = here.client.get(path)
    assert answer.status_code == status, answer.json
    return answer.json


def test_a_question_is_answered_from_the_documents_of_its_project(here: Desk) -> None:
    preview = get(here, "/context/preview?message=Hello&project=house")
    assert "The lamp is blue." in preview["prompt"] and "mast" not in preview["prompt"]
    answer = here.client.post("/chat", json={"message": "Hello", "project": "house"}).json
    used = {one["name"]: one["version"] for one in answer["receipt"]["documents"]}
    assert used[BRIEFING] == get(here, f"/context/{BRIEFING}?project=house")["version"]
    assert answer["receipt"]["snapshot"] == preview["receipt"]["snapshot"]
    active = here.client.post("/chat", json={"message": "Hello"}).json
    assert active["receipt"]["snapshot"] != answer["receipt"]["snapshot"]
    assert "The mast is green." in get(here, "/context/preview")["prompt"]


def test_a_project_that_is_not_there_is_refused_before_anything_is_stored(here: Desk) -> None:
    for path in (
        "/context?project=hous",
        f"/context/{BRIEFING}?project=hous",
        "/context/preview?project=hous",
        "/context?project=..%2F..",
        "/context/conflicts?project=CON",
    ):
        assert get(here, path, 404)["error"]["hint"], path
    refused = here.client.post("/chat", json={"message": "Hello", "project": "hous"})
    assert refused.status_code == 404
    assert "'hous'" in refused.json["error"]["message"] and "house" in refused.json["error"]["hint"]
    assert get(here, "/conversation")["history"] == []
    assert here.client.post("/context/load", json={"project": "hous"}).status_code == 404


def test_the_documents_of_a_project_are_listed_edited_and_restored(here: Desk, tmp_path: Path) -> None:
    listed = get(here, "/context?project=house")
    assert (listed["project"], listed["projects"]) == ("house", ["house"])
    assert [one["name"] for one in listed["documents"]] == list(DOCUMENT_NAMES)
    first = get(here, f"/context/{BRIEFING}?project=house")
    put = here.client.put(
        f"/context/{BRIEFING}?project=house",
        json={"text": "# House\n\nred\n"},
        headers={"If-Match": f'"{first["version"]}"'},
    )
    assert put.status_code == 200
    assert (tmp_path / "context" / "house" / BRIEFING).read_text() == "# House\n\nred\n"
    assert (tmp_path / "context" / BRIEFING).read_text() == "# Boat\n\nThe mast is green.\n"
    versions = get(here, f"/context/{BRIEFING}/history?project=house")["versions"]
    assert [one["version"] for one in versions] == [put.json["version"], first["version"]]
    path = f"/context/{BRIEFING}/history/{first['version']}"
    assert get(here, f"{path}?project=house")["text"] == first["text"]
    get(here, path, 404)
    restored = here.client.post(
        f"/context/{BRIEFING}/restore?project=house", json={"version": first["version"]}
    )
    assert restored.json["text"] == first["text"]
    entry = here.client.post(f"/context/{LOG}/entries?project=house", json={"text": "Painted."})
    assert entry.status_code == 201
    assert "Painted." in get(here, f"/context/{LOG}?project=house")["text"]
    assert "Painted." not in get(here, f"/context/{LOG}")["text"]
    loaded = here.client.post("/context/load", json={"name": LOG, "project": "house"}).json
    assert "Painted." in loaded["text"]


def test_what_the_active_project_says_is_not_recalled_for_another_one(here: Desk) -> None:
    here.client.post(f"/context/{LOG}/entries", json={"text": "The anchor chain rusts: it is long."})
    here.client.post("/conversations", json={"conversation_id": "told"})
    said = "The anchor chain is forty metres long."
    here.client.post("/chat", json={"message": said, "conversation_id": "told"})
    here.client.post("/conversations", json={"conversation_id": "new"})
    question = "/context/preview?conversation_id=new&message=How%20long%20is%20the%20anchor%20chain%3F"
    recalled = [one["source"] for one in get(here, question)["receipt"]["retrieved"]]
    other = [one["source"] for one in get(here, f"{question}&project=house")["receipt"]["retrieved"]]
    assert "message" in recalled
    assert "log" not in other and "message" in other


def test_search_finds_the_documents_of_all_projects_and_names_them(here: Desk) -> None:
    found = {(one["id"], one["project"]) for one in get(here, "/search?q=lamp")["results"]}
    assert found == {(f"house/{BRIEFING}#House", "house")}
    assert [one["project"] for one in get(here, "/search?q=mast")["results"]] == [None]
    here.client.post("/chat", json={"message": "The lamp, the mast."})
    both = get(here, "/search?q=mast lamp")["results"]
    assert {one["project"] for one in both if one["source"] == "document"} == {None, "house"}
    house = get(here, "/search?q=mast lamp&project=house")["results"]
    assert {one["id"] for one in house if one["source"] == "document"} == {f"house/{BRIEFING}#House"}
    assert any(one["source"] == "message" for one in house)
    assert "house" in get(here, "/search?q=lamp&project=hous", 404)["error"]["hint"]


def test_what_another_project_says_is_recalled_only_for_its_own_questions(here: Desk) -> None:
    for number in range(30):
        here.client.post(f"/context/{LOG}/entries?project=house", json={"text": f"Painted wall {number}."})
    here.client.post(f"/context/{LOG}/entries?project=house", json={"text": "The lamp came from Lisbon."})
    question = "/context/preview?message=Where%20did%20the%20lamp%20come%20from%3F"
    assert "Lisbon" not in get(here, question)["prompt"]
    assert "Lisbon" in get(here, f"{question}&project=house")["prompt"]
