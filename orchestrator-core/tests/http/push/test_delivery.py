"""One message to a push service that works, and to some that do not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_http.push.application_key import ApplicationKey
from orchestrator_http.push.delivery import MAX_PLAIN_BYTES, Keys, WebPushSender, outcome_of, packed
from support.push_service import dribble, hang_up, push_service, status

MESSAGE = {"id": "run:1", "kind": "answer", "title": "T", "text": "Grüße 🦜"}


@pytest.fixture
def service():
    with push_service() as running:
        yield running


@pytest.fixture
def sender(service, tmp_path):
    key = ApplicationKey(tmp_path)
    service.public_key = key.public
    return WebPushSender(key, contact="mailto:me@example.org", local_services=[service.origin], whole_s=1.0)


def send(sender, subscriber, message=MESSAGE):
    keys = Keys(**subscriber.as_json()["keys"])
    return sender.send(subscriber.endpoint, keys, message, topic="t", ttl_s=60, urgency="high")


def test_a_message_arrives_encrypted_and_signed(service, sender):
    phone = service.subscriber()
    assert send(sender, phone).what == "delivered"
    assert phone.messages == [MESSAGE]
    assert {"ttl": "60", "topic": "t", "urgency": "high"}.items() <= phone.headers[0].items()
    assert not service.refusals


@pytest.mark.parametrize(
    ("fault", "what", "seconds"),
    [
        (status(410), "gone", 0),
        (status(404), "gone", 0),
        (status(429, Retry_After="120"), "later", 120),
        (status(503), "later", 0),
        (status(400), "refused", 0),
        (status(413), "refused", 0),
        (status(307, Location="http://127.0.0.1:1/"), "refused", 0),
        (hang_up, "later", 0),
        (dribble, "later", 0),
    ],
)
def test_what_a_service_answers_decides_what_becomes_of_the_message(service, sender, fault, what, seconds):
    service.faults.append(fault)
    outcome = send(sender, service.subscriber())
    assert (outcome.what, outcome.retry_after_s) == (what, seconds)
    assert service.requests == 1, "redirects are not followed"


def test_a_service_that_is_away_is_tried_later(service, sender):
    phone = service.subscriber()
    service.close()
    assert send(sender, phone).what == "later"


def test_a_name_that_leads_home_is_not_called(tmp_path, service):
    sender = WebPushSender(
        ApplicationKey(tmp_path),
        contact="mailto:me@example.org",
        local_services=[],
        resolve=lambda host, port: ["127.0.0.1"],
    )
    phone = service.subscriber()
    phone.endpoint = phone.endpoint.replace("http://127.0.0.1", "https://push.example.net")
    assert send(sender, phone).problem == "its name stands for a private address"
    assert service.requests == 0


@given(st.text(max_size=6000), st.text(max_size=200))
def test_every_message_fits(text, title):
    content = packed({"title": title, "text": text})
    assert len(content) <= MAX_PLAIN_BYTES
    assert json.loads(content).keys() == {"title", "text"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        ("", 0),
        ("soon", 0),
        ("-3", 0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 60),
        ("9" * 400, 999_999_999),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert outcome_of(429, header, 60.0).retry_after_s == seconds


def test_the_key_is_made_once_and_private(tmp_path):
    assert ApplicationKey(tmp_path).public == ApplicationKey(tmp_path).public
    assert (tmp_path / "push-key.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(ApplicationKey(tmp_path))
