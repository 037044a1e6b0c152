"""A question sent again, because its answer did not arrive, is asked and stored once."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager

import anthropic
import openai
import pytest
from support.desktop import desk
from support.scripted import ScriptedBackend
from werkzeug.serving import make_server

CHAT = "/v1/chat/completions"
RETRY = {"X-Stainless-Retry-Count": "1"}


@pytest.fixture
def there(tmp_path):
    numbers = iter(range(1, 1000))
    with desk(tmp_path, ScriptedBackend(lambda prompt, config: f"Answer {next(numbers)}.")) as here:
        yield here


def ask(here, *said, headers=None, **fields):
    roles = ("user", "assistant") * len(said)
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    body = {"model": "orchestrator", "messages": messages, **fields}
    answer = here.client.post(CHAT, json=body, headers=headers or {})
    assert answer.status_code == 200, answer.json
    return answer.json["choices"][0]["message"]["content"]


def stored(here):
    conversations = here.services.assistant.conversations
    ids = [one.conversation_id for one in conversations.list()][::-1]
    said = [[message.content for message in conversations.messages(each)] for each in ids]
    return [messages for messages in said if messages]


ATTEMPTS = [({"Idempotency-Key": "k1"}, {"Idempotency-Key": "k1"}), ({}, RETRY)]


@pytest.mark.parametrize("attempts", ATTEMPTS, ids=["by key", "by count"])
@pytest.mark.parametrize("fields", [{}, {"metadata": {"conversation_id": "mine"}}], ids=["found", "named"])
@pytest.mark.parametrize("before", [(), ("One?", "Answer 1.")], ids=["first", "later"])
def test_a_retry_is_the_same_question(there, attempts, fields, before):
    if before:
        ask(there, before[0], **fields)
    answers = [ask(there, *before, "What?", headers=headers, **fields) for headers in attempts]
    assert answers[0] == answers[1]
    assert stored(there) == [[*before, "What?", answers[0]]]


def test_a_retry_that_is_the_first_to_arrive_is_asked(there):
    assert ask(there, "Hi", headers=RETRY) == "Answer 1."
    assert ask(there, "Hi", headers=RETRY, metadata={"conversation_id": "new"}) == "Answer 2."


def test_other_keys_and_first_attempts_are_other_questions(there):
    for headers in ({"Idempotency-Key": "a"}, {"Idempotency-Key": "b"}, {}, {"X-Stainless-Retry-Count": "0"}):
        ask(there, "Hi", headers=headers)
    assert stored(there) == [["Hi", f"Answer {number}."] for number in range(1, 5)]


def test_a_new_answer_is_given_to_whoever_asks_for_one_with_a_key_of_its_own(there):
    ask(there, "One?", headers={"Idempotency-Key": "a"})
    ask(there, "One?", "Answer 1.", "Two?", headers={"Idempotency-Key": "b"})
    assert ask(there, "One?", "Answer 1.", "Two?", headers={"Idempotency-Key": "c"}) == "Answer 3."
    assert stored(there) == [["One?", "Answer 1.", "Two?", "Answer 3."]]


def test_a_conversation_that_has_gone_on_is_not_taken_for_the_retried_one(there):
    ask(there, "Hi")
    ask(there, "Hi", "Answer 1.", "And?")
    assert ask(there, "Hi", headers=RETRY) == "Answer 3."


def test_a_refused_question_leaves_no_conversation(there):
    before = len(there.services.assistant.conversations.list())
    body = {"model": "orchestrator", "messages": [{"role": "user", "content": "x " * 3_000_000}]}
    assert there.client.post(CHAT, json=body).status_code in (400, 413)
    assert len(there.services.assistant.conversations.list()) == before


class LosesTheFirst:
    """An app whose first answer is lost on the way: the client sees a server that fails."""

    def __init__(self, app):
        self.app, self.lost = app, 0

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] != "POST" or self.lost:
            return self.app(environ, start_response)
        self.lost += 1
        for _ in self.app(environ, lambda status, headers, error=None: lambda data: None):
            pass
        start_response("503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps({"error": {"message": "lost"}}).encode()]


@contextmanager
def served(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_the_vendors_own_retries_ask_once(tmp_path, vendor):
    with desk(tmp_path, ScriptedBackend(otherwise="Here.")) as here, served(LosesTheFirst(here.app)) as url:
        asked = {"model": "orchestrator", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
        if vendor == "openai":
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=2) as client:
                said = client.chat.completions.create(**asked).choices[0].message.content
        else:
            with anthropic.Anthropic(base_url=url, api_key="none", max_retries=2) as client:
                said = client.messages.create(**asked).content[0].text
        assert said == "Here."
        assert stored(here) == [["Hi", "Here."]]
