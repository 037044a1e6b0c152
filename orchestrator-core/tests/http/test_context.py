"""The documents over HTTP: listed, edited, taken back, and the prompt made of them."""


def test_context_lists_the_documents_with_versions_and_tokens(here):
    found = here.client.get("/context").json
    assert [document["name"] for document in found["documents"]] == [
        "PORTFOLIO_CONTEXT.md",
        "PROJECT_CONTEXT.md",
        "SESSION_BRIEFING.md",
        "SESSION_LOG.md",
    ]
    assert all(document["tokens"] > 0 and document["version"] for document in found["documents"])


def test_a_document_is_edited_against_the_version_it_was_read_in(here):
    path = "/context/SESSION_BRIEFING.md"
    read = here.client.get(path)
    assert read.headers["ETag"] == f'"{read.json["version"]}"'
    assert here.client.get(path, headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
    edited = here.client.put(
        path, json={"text": "# Now\n\nFirst.\n"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert edited.status_code == 200
    assert edited.json["text"] == "# Now\n\nFirst.\n"
    assert edited.headers["ETag"] != read.headers["ETag"]
    assert here.client.get(path).json == edited.json


def test_a_stale_edit_is_merged_not_refused(here):
    path = "/context/SESSION_BRIEFING.md"
    base = here.client.put(path, json={"text": "one\ntwo\nthree\nfour\n"}, headers={"If-Match": "*"})
    tag = {"If-Match": base.headers["ETag"]}
    here.client.put(path, json={"text": "ONE\ntwo\nthree\nfour\n"}, headers=tag)
    merged = here.client.put(path, json={"text": "one\ntwo\nthree\nFOUR\n"}, headers=tag)
    assert merged.status_code == 200
    assert merged.json["text"] == "ONE\ntwo\nthree\nFOUR\n"


def test_a_log_entry_is_added_once(here):
    path = "/context/SESSION_LOG.md/entries"
    first = here.client.post(path, json={"text": "Decided on tea.", "entry_id": "abc"})
    again = here.client.post(path, json={"text": "Decided on tea.", "entry_id": "abc"})
    assert first.status_code == again.status_code == 201
    assert first.json == again.json and first.json["entry_id"] == "abc"
    text = here.client.get("/context/SESSION_LOG.md").json["text"]
    assert text.count("Decided on tea.") == 1


def test_versions_are_listed_shown_and_restored(here):
    path = "/context/PROJECT_CONTEXT.md"
    first = here.client.get(path).json
    here.client.put(path, json={"text": "# Other\n"}, headers={"If-Match": "*"})
    versions = here.client.get(f"{path}/history").json["versions"]
    assert versions and set(versions[0]) == {"version", "author", "at", "summary"}
    assert here.client.get(f"{path}/history/{first['version']}").json == first
    restored = here.client.post(f"{path}/restore", json={"version": first["version"]})
    assert restored.json["text"] == first["text"]


def test_conflicts_can_be_asked_for(here):
    assert here.client.get("/context/conflicts").json == {"conflicts": []}
    assert here.client.post("/context/conflicts/none", json={"text": "x"}).status_code == 404


def test_the_preview_is_the_prompt_that_is_sent(here):
    here.client.put(
        "/context/SESSION_BRIEFING.md", json={"text": "# Now\n\nTea.\n"}, headers={"If-Match": "*"}
    )
    shown = here.client.get("/context/preview?message=What%20now%3F").json
    here.ask("What now?")
    sent = here.backend.calls[-1].prompt.text
    # The minute may have passed in between; everything else is the same, byte for byte.
    assert shown["prompt"][:-40] == sent[:-40] and len(shown["prompt"]) == len(sent)
    assert shown["prompt_tokens"] > 0 and shown["receipt"]["documents"]


def test_context_is_loaded_within_a_number_of_tokens(here):
    here.client.put(
        "/context/SESSION_BRIEFING.md",
        json={"text": "# Now\n\nTea.\n\n# Later\n\n" + "word " * 500},
        headers={"If-Match": "*"},
    )
    loaded = here.client.post("/context/load", json={"max_tokens": 50}).json
    assert loaded["tokens"] <= 50 and loaded["tokens_left_out"] > 0 and "Tea." in loaded["text"]
    whole = here.client.post("/context/load", json={"name": "SESSION_BRIEFING.md"}).json
    assert whole["tokens_left_out"] == 0 and "word word" in whole["text"]
