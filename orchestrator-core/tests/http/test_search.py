def test_search_finds_messages(here):
    here.ask("Where is the walrus?")
    found = here.client.get("/search?q=walrus").json["results"][0]
    assert found["source"] == "message" and found["conversation_id"] == "default"
    assert "walrus" in found["text"]
    assert here.client.get('/search?q="unclosed AND (').json["results"] == []


def test_search_finds_log_entries_and_sections_of_documents(here):
    base = here.client.get("/context/PROJECT_CONTEXT.md")
    text = "# Zoo\n\n## Pools\n\nThe walrus pool is heated.\n"
    here.client.put(
        "/context/PROJECT_CONTEXT.md", json={"text": text}, headers={"If-Match": base.headers["ETag"]}
    )
    here.client.post("/context/SESSION_LOG.md/entries", json={"text": "Fed the walrus.", "entry_id": "fed1"})
    results = here.client.get("/search?q=walrus").json["results"]
    assert {(one["source"], one["id"]) for one in results} == {
        ("document", "PROJECT_CONTEXT.md#Pools"),
        ("log", "SESSION_LOG.md#fed1"),
    }
    assert all("walrus" in one["text"] and one["score"] > 0 for one in results)


def test_search_puts_what_has_all_the_words_first(here):
    for text in ("The walrus sleeps.", "The heated pool of the walrus.", "A pool table."):
        here.ask(text)
    results = here.client.get("/search?q=walrus pool").json["results"]
    assert "heated" in results[0]["text"]
    assert len(results) >= 3
