"""`/enroll` and `/desktops` over HTTP."""

import pytest
from orchestrator_http.access.keys import MAX_FAILURES
from orchestrator_vps.codes import new_code
from orchestrator_vps.credentials import Credentials


@pytest.fixture
def code(vps):
    def make(**options):
        with Credentials(vps.data) as credentials:
            return credentials.new_code(**options)

    return make


def enroll(vps, code, **fields):
    return vps.client.post("/enroll", json={"code": code, "name": "home", "replica": "r1", **fields})


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json['credential']}"}


def test_a_desktop_enrols_without_a_key(vps, code):
    answer = enroll(vps, code())
    assert answer.status_code == 201
    said = answer.json
    assert said["role"] == "source" and said["tier"] == "vps" and len(said["credential"]) >= 43
    assert said["replica"] == vps.services.replica.replica_id
    (listed,) = vps.client.get("/desktops", headers=vps.key).json["desktops"]
    assert listed["desktop_id"] == said["desktop_id"] and not listed["connected"]
    assert said["credential"] not in str(listed)


@pytest.mark.parametrize(
    "fields",
    [
        {"code": ""},
        {"code": 5},
        {"code": "x" * 101},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"replica": "a b"},
        {"replica": "x" * 65},
    ],
)
def test_bad_fields_are_refused(vps, code, fields):
    answer = enroll(vps, **{"code": code(), **fields})
    assert answer.status_code == 400 and answer.json["error"]["message"]


def test_a_body_that_is_too_large_is_refused(vps, code):
    assert enroll(vps, code(), name="x" * 5000).status_code == 413


def test_an_expired_code_says_so(vps, code):
    answer = enroll(vps, code(valid_minutes=-1))
    assert answer.status_code == 403 and answer.json["error"]["code"] == "expired_code"


def test_a_second_desktop_is_refused_by_default(vps, code):
    enroll(vps, code())
    answer = enroll(vps, code(), replica="r2")
    assert answer.status_code == 409 and answer.json["error"]["code"] == "desktop_refused"


def test_a_right_code_and_its_credential_pass_after_any_number_of_wrong_ones(vps, code):
    for _ in range(MAX_FAILURES):
        assert enroll(vps, new_code()).status_code == 403
    answer = enroll(vps, new_code())
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    answer = enroll(vps, code())
    assert answer.status_code == 201
    for _ in range(MAX_FAILURES + 1):
        assert vps.client.get("/info", headers={"Authorization": "Bearer guess"}).status_code in (401, 429)
    assert vps.client.get("/info", headers=bearer(answer)).status_code == 200
    assert vps.client.get("/info", headers=vps.key).status_code == 200


@pytest.mark.parametrize("path", ["/desktops", "/metrics", "/conversations", "/generate", "/nothing"])
def test_a_credential_opens_only_what_a_desktop_needs(vps, code, path):
    headers = bearer(enroll(vps, code()))
    method = "POST" if path == "/generate" else "GET"
    answer = vps.client.open(path, method=method, headers=headers, json={} if method == "POST" else None)
    assert answer.status_code == 403 and answer.json["error"]["code"] == "not_for_desktops"


def test_a_credential_opens_the_exchange_of_the_source_and_not_of_an_extra(vps, code):
    vps.services.settings.relay.extra_desktops = "serve"
    headers = bearer(enroll(vps, code()))
    assert vps.client.post("/sync", json={}, headers=headers).status_code == 400
    with Credentials(vps.data) as credentials:
        _, extra = credentials.enroll(credentials.new_code(), "lender", "r2", "serve")
    answer = vps.client.post("/sync", json={}, headers={"Authorization": f"Bearer {extra}"})
    assert answer.status_code == 403


def test_a_revoked_credential_is_told_apart_from_a_wrong_one(vps, code):
    answer = enroll(vps, code())
    headers = bearer(answer)
    gone = vps.client.delete(f"/desktops/{answer.json['desktop_id']}", headers=vps.key)
    assert gone.status_code == 200 and gone.json["revoked_at"]
    refused = vps.client.post("/sync", json={}, headers=headers)
    assert refused.status_code == 401 and refused.json["error"]["code"] == "revoked"
    wrong = vps.client.post("/sync", json={}, headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401 and wrong.json["error"]["code"] == "unauthorized"


def test_a_desktop_can_leave_by_itself(vps, code):
    headers = bearer(enroll(vps, code()))
    assert vps.client.delete("/desktops/self", headers=headers).status_code == 200
    assert vps.client.delete("/desktops/self", headers=headers).status_code == 401
    assert vps.client.delete("/desktops/self", headers=vps.key).status_code == 404


def test_a_desktop_cannot_revoke_another(vps, code):
    headers = bearer(enroll(vps, code()))
    assert vps.client.delete("/desktops/other", headers=headers).status_code == 403


def test_an_unknown_desktop_is_404(vps):
    assert vps.client.delete("/desktops/nobody", headers=vps.key).status_code == 404


def test_only_a_desktop_may_dial_in(vps, code):
    assert vps.client.get("/relay").status_code == 401
    answer = vps.client.get("/relay", headers=vps.key)
    assert answer.status_code == 403 and answer.json["error"]["code"] == "not_a_desktop"
    headers = bearer(enroll(vps, code()))
    answer = vps.client.get("/relay", headers=headers)
    assert answer.status_code == 400 and "WebSocket" in answer.json["error"]["message"]
