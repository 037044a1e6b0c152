"""Who wrote a document is told by whoever writes for somebody else, and is in its history."""

from __future__ import annotations

import pytest
from support.desktop import Desk, desk

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


@pytest.fixture
def here(tmp_path):
    with desk(tmp_path) as opened:
        yield opened


def authors(here: Desk, name: str) -> list[str]:
    return [one["author"] for one in here.client.get(f"/context/{name}/history").json["versions"]]


def test_the_header_names_the_author_of_every_kind_of_change(here: Desk) -> None:
    start = here.client.get(f"/context/{BRIEFING}").json["version"]
    red = {"X-Author": "red pen"}
    edited = {"text": "# Now\n\nplan A\n"}
    assert here.client.put(f"/context/{BRIEFING}", json=edited, headers={"If-Match": start, **red}).json
    here.client.put(f"/context/{BRIEFING}", json={"text": "# Now\n"}, headers={"If-Match": "*"})
    here.client.post(f"/context/{BRIEFING}/restore", json={"version": start}, headers=red)
    assert authors(here, BRIEFING)[:3] == ["red pen", "desktop", "red pen"]
    here.client.post(f"/context/{LOG}/entries", json={"text": "Painted."}, headers=red)
    assert authors(here, LOG)[0] == "red pen"
    assert "UTC · red pen <!-- entry:" in here.client.get(f"/context/{LOG}").json["text"]


@pytest.mark.parametrize("name", ["", " ", "a\tb", "<!-- entry:x -->", "x" * 65, "ü"])
def test_a_name_that_could_act_in_a_heading_is_refused(here: Desk, name: str) -> None:
    before = here.client.get(f"/context/{LOG}").json
    answer = here.client.post(f"/context/{LOG}/entries", json={"text": "x"}, headers={"X-Author": name})
    assert answer.status_code == 400
    assert here.client.get(f"/context/{LOG}").json == before
