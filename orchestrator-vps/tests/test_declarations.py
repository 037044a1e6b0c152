"""Which tier answers which route, and what a desktop's credential opens: as declared on the VPS's own app."""

import pytest
from orchestrator_http.api import current_operation
from support.vps_app import vps_app


@pytest.fixture(scope="module")
def vps(tmp_path_factory):
    with vps_app(tmp_path_factory.mktemp("data")) as here:
        yield here


def declared(vps, method, path):
    with vps.app.test_request_context(path, method=method):
        return current_operation()


@pytest.mark.parametrize(
    ("method", "path", "tier"),
    [
        ("GET", "/", "here"), ("GET", "/static/main.js", "here"), ("GET", "/openapi.json", "here"),
        ("GET", "/health", "here"), ("GET", "/info", "here"), ("GET", "/model/info", "here"), ("GET", "/metrics", "here"),
        ("POST", "/chat", "here"), ("POST", "/chat/stream", "here"), ("GET", "/chat", "here"),
        ("POST", "/sync", "here"), ("GET", "/sync/events", "here"), ("POST", "/enroll", "here"),
        ("GET", "/models", "named"), ("GET", "/models/a/1/files/b.gguf", "named"), ("POST", "/models/activate", "here"),
        ("GET", "/desktops", "here"), ("DELETE", "/desktops/x", "here"), ("GET", "/relay", "here"),
        ("GET", "/runs/x", "run_tier"), ("GET", "/runs/x/stream", "run_tier"), ("DELETE", "/runs/x", "run_tier"),
        ("POST", "/v1/chat/completions", "any_model"), ("POST", "/v1/completions", "any_model"),
        ("POST", "/v1/embeddings", "any_model"), ("POST", "/generate", "any_model"),
        ("GET", "/v1/models", "desktop"), ("GET", "/conversations", "desktop"), ("GET", "/context", "desktop"),
        ("PUT", "/context/SESSION_LOG.md", "desktop"), ("POST", "/context/load", "desktop"),
    ],
)  # fmt: skip
def test_which_tier_answers(vps, method, path, tier):
    assert declared(vps, method, path).answered_by == tier


@pytest.mark.parametrize("path", ["/handoff", "/jobs", "/chatter", "/info/x", "/syncs", "/generates"])
def test_what_the_vps_has_no_route_for_is_the_desktops(vps, path):
    assert declared(vps, "POST", path) is None


def test_what_the_credential_of_a_desktop_opens(vps):
    operations = vps.app.extensions["orchestrator_operations"].values()
    opened = {"any": set(), "source": set(), "none": set()}
    for operation in operations:
        opened[operation.for_desktop].add(f"{operation.method} {operation.rule}")
    assert opened["any"] == {"GET /relay", "DELETE /desktops/self"}
    of_models = {name for name in opened["source"] if " /models" in name}
    assert of_models, "a desktop gives its models to the VPS"
    assert opened["source"] - of_models == {
        "POST /sync", "GET /sync/events", "GET /info", "GET /ready", "POST /chat", "POST /chat/stream",
        "GET /runs/<run_id>", "GET /runs/<run_id>/stream", "DELETE /runs/<run_id>",
        "GET /push", "POST /push", "DELETE /push", "POST /push/news",
    }  # fmt: skip
