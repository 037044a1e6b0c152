"""`/push`: what is taken, listed and removed."""

import pytest


def test_a_subscription_is_listed_without_its_secret_address_and_can_be_removed(here):
    phone = here.subscribe(name="My-phone")
    listed = here.client.get("/push")
    (subscription,) = listed.json["subscriptions"]
    assert subscription["name"] == "My-phone" and subscription["service"] == here.service.origin
    assert listed.json["tier"] == "desktop" and phone.endpoint not in listed.get_data(as_text=True)
    gone = here.client.delete("/push", json={"subscription_id": subscription["subscription_id"]})
    assert gone.status_code == 200 and gone.json["subscriptions"] == []
    assert here.client.delete("/push", json={"endpoint": phone.endpoint}).status_code == 404


def test_subscribing_again_replaces_the_keys(here):
    phone = here.subscribe()
    phone.auth = b"another secret.."
    assert here.client.post("/push", json=phone.as_json()).status_code == 201
    here.ask_and_leave()
    here.service.wait(lambda: phone.messages)
    assert len(phone.messages) == 1 and not here.service.refusals


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"endpoint": "http://push.example.net/x"}, "endpoint"),
        ({"endpoint": "https://192.168.1.1/x"}, "endpoint"),
        ({"endpoint": "nothing"}, "endpoint"),
        ({"keys": {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}}, "keys"),
        ({"keys": {"p256dh": "B" * 87, "auth": "AAAAAAAAAAAAAAAAAAAAAA"}}, "keys"),
        ({"keys": {"p256dh": "é", "auth": "AA"}}, "p256dh"),
        ({"keys": {}}, "p256dh"),
    ],
)
def test_what_nothing_can_be_sent_to_is_refused(here, change, word):
    answer = here.client.post("/push", json={**here.service.subscriber().as_json(), **change})
    assert answer.status_code == 400 and word in answer.json["error"]["message"]
    assert here.client.get("/push").json["subscriptions"] == []


def test_unsubscribing_names_something(here):
    assert here.client.delete("/push", json={}).status_code == 400
    assert here.client.delete("/push", json={"endpoint": "https://x"}).status_code == 404
