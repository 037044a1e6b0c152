from contextlib import contextmanager

import pytest
from orchestrator_core.chat_request import ChatRequest
from orchestrator_http.push import pushing
from support.desktop import desk
from support.push_service import push_service
from support.waiting import wait_until


@pytest.fixture
def service():
    with push_service() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Everything that waits does so shortly."""
    monkeypatch.setattr(pushing, "GRACE_S", 0.05)
    monkeypatch.setattr(pushing, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(pushing, "LONGEST_PAUSE_S", 0.1)


class PushingDesk:
    """A desktop's app, and what its push has to do."""

    def __init__(self, here, service):
        self.client, self.services, self.assistant = here.client, here.services, here.services.assistant
        self.push = here.services.push
        self.ask, self.service = here.ask, service
        service.public_key = self.client.get("/push").json["public_key"]

    def subscribe(self, name="phone", **fields):
        phone = self.service.subscriber(name)
        answer = self.client.post("/push", json={**phone.as_json(), "name": name, **fields})
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return phone

    def ask_and_leave(self, message="Hi"):
        """An answer that nobody watches."""
        run = self.assistant.ask(ChatRequest(message=message))
        run.wait(20)
        return run

    def settled(self):
        """Everything that had to be sent was, or was dropped."""
        wait_until(lambda: self.push.store.next([]) is None)


@pytest.fixture
def open_desk(tmp_path, service):
    @contextmanager
    def open_(backend=None, data=tmp_path / "data", **push):
        with desk(data, backend, push={"local_services": [service.origin], **push}) as here:
            yield PushingDesk(here, service)

    return open_


@pytest.fixture
def here(open_desk):
    with open_desk() as opened:
        yield opened
