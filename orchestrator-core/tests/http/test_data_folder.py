"""The data folder goes away under a running server: 503 with the reason, and nothing is accepted."""

import shutil
import stat

import pytest
from ai_orchestrator.app import app_services, create_app
from orchestrator_core.assistant.data_folder import DataFolder
from support.desktop import settings_for

DATABASES = ["memory.db", "runs.db", "search.db", "context-state/documents.db"]


@pytest.fixture
def app(tmp_path):
    made = create_app(settings_for(tmp_path / "data"))
    app_services(made).model.ensure()
    yield made
    app_services(made).assistant.close()


def ask(app):
    return app.test_client().post("/chat", json={"message": "Do you hear me?"})


@pytest.mark.parametrize("name", [*DATABASES, "."])
def test_a_question_is_refused_as_soon_as_anything_is_gone(app, tmp_path, name):
    assert ask(app).status_code == 200
    lost = tmp_path / "data" / name
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    answer = ask(app)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "storage_gone")
    assert str(lost.resolve()) in answer.json["error"]["message"]
    if name != "memory.db" and name != ".":
        assert app.test_client().get("/conversation").json["turn_count"] == 1


def test_a_second_server_on_a_new_folder_does_not_share_it_with_the_first(app, tmp_path):
    (tmp_path / "data").rename(tmp_path / "away")
    second = create_app(settings_for(tmp_path / "data"))
    try:
        app_services(second).model.ensure()
        assert ask(app).status_code == 503
        assert ask(second).status_code == 200
        assert app.test_client().get("/conversations").status_code == 503
    finally:
        app_services(second).assistant.close()


def test_a_deleted_lock_file_lets_no_second_server_in(app, tmp_path):
    (tmp_path / "data" / "lock").unlink()
    assert ask(app).status_code == 200
    with pytest.raises(Exception, match="in use"):
        DataFolder(tmp_path / "data")


def test_no_database_can_be_read_by_others_in_a_folder_made_beforehand(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    made = create_app(settings_for(data))
    try:
        app_services(made).model.ensure()
        assert ask(made).status_code == 200
        files = [file for file in data.rglob("*.db*") if file.is_file()]
        assert {file.name for file in files} >= {"memory.db", "runs.db", "search.db", "documents.db"}
        assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in files} == {
            file.name: 0o600 for file in files
        }
    finally:
        app_services(made).assistant.close()
