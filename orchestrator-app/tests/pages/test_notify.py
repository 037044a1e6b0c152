"""The button that has a browser told. The push service is the tests' own; the subscription that a browser would get from its vendor's is given to it."""

import json

import pytest
from playwright.sync_api import expect
from support.push_service import push_service

FAKE = """
(given) => {
  const made = { ...given, toJSON: () => given, unsubscribe: async () => { current = null; }, options: {} };
  let current = null;
  PushManager.prototype.getSubscription = async () => current;
  PushManager.prototype.subscribe = async ({ applicationServerKey: key }) => {
    const bytes = atob(key.replaceAll("-", "+").replaceAll("_", "/"));
    made.options.applicationServerKey = Uint8Array.from(bytes, (one) => one.charCodeAt(0)).buffer;
    return current = made;
  };
}
"""


@pytest.fixture
def service():
    with push_service() as running:
        yield running


def test_a_browser_subscribes_and_unsubscribes(page, desktop, service):
    desktop.settings.push.local_services.append(service.origin)
    service.public_key = desktop.services.push.public_key
    browser = service.subscriber("browser")
    page.evaluate(FAKE, browser.as_json())
    button = page.locator("#notify")
    button.click()
    expect(button).to_have_text("Notifications: on")
    assert [each.endpoint for each in desktop.services.push.subscriptions()] == [browser.endpoint]
    button.click()
    expect(button).to_have_text("Notify me")
    assert desktop.services.push.subscriptions() == []


def test_a_message_becomes_a_notification(page, desktop):
    session = page.context.new_cdp_session(page)
    registrations = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"])
    )
    session.send("ServiceWorker.enable")
    with page.context.expect_event("serviceworker") as started:
        page.evaluate("navigator.serviceWorker.register('static/sw.js')")
    # A browser without a screen shows none.
    started.value.evaluate("self.registration.showNotification = async (...given) => { self.given = given; }")
    news = {"id": "run:1", "title": "What is it?", "text": "A parrot.", "conversation_id": "default"}
    session.send(
        "ServiceWorker.deliverPushMessage",
        {
            "origin": desktop.url,
            "registrationId": registrations[-1]["registrationId"],
            "data": json.dumps(news),
        },
    )
    title, options = started.value.evaluate(
        "new Promise((done) => { const look = () => self.given ? done(self.given) : setTimeout(look, 20); look(); })"
    )
    assert (title, options["body"], options["tag"]) == ("What is it?", "A parrot.", "run:1")
