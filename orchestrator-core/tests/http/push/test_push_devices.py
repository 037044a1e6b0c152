"""A subscription belongs to the device that made it."""

import json

from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.signatures import sign_request
from support.waiting import wait_until


class Phone:
    """A paired device."""

    def __init__(self, here, name):
        self.identity, self.here = Identity.create(), here
        self.household = here.services.household
        public = self.identity.public.text()
        self.household.devices.add(
            self.identity.id, name=name, kind="phone", public=public, scopes=("ask", "memory")
        )

    def ask(self, method, body=None):
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        household = self.household.public.id
        headers |= sign_request(self.identity, household, method, "/push", headers, content)
        return self.here.client.open("/push", method=method, data=content, headers=headers)

    def subscribe(self, name):
        subscriber = self.here.service.subscriber(name)
        answer = self.ask("POST", subscriber.as_json())
        assert answer.status_code == 201 and answer.json["device"] == self.identity.id
        return subscriber


def test_a_device_has_one_subscription_and_knows_of_no_other(here):
    phone, tablet = Phone(here, "phone"), Phone(here, "tablet")
    phone.subscribe("former")
    mine, other = phone.subscribe("mine"), tablet.subscribe("other")
    (listed,) = phone.ask("GET").json["subscriptions"]
    assert listed["device"] == phone.identity.id
    assert phone.ask("DELETE", {"endpoint": other.endpoint}).status_code == 404
    assert len(here.client.get("/push").json["subscriptions"]) == 2, "the owner sees all"
    assert phone.ask("DELETE", {"endpoint": mine.endpoint}).json["subscriptions"] == []


def test_a_revoked_device_is_told_nothing_more(here):
    phone, tablet = Phone(here, "phone"), Phone(here, "tablet")
    lost, kept = phone.subscribe("lost"), tablet.subscribe("kept")
    here.services.household.devices.revoke(phone.identity.id)
    here.ask_and_leave()
    wait_until(lambda: kept.messages)
    here.settled()
    assert not lost.messages
    assert [each["device"] for each in here.client.get("/push").json["subscriptions"]] == [tablet.identity.id]
