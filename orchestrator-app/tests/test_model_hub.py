"""Models from a hub on this machine into the registry."""

import hashlib

import pytest
from ai_orchestrator import model_hub
from ai_orchestrator.model_hub import RECOMMENDED, download, look_up, recommended_for
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from orchestrator_core.errors import Conflict, InvalidRequest, ModelNotFound
from orchestrator_core.models.manifest import ModelManifest
from orchestrator_core.models.registry import Registry
from orchestrator_core.settings import Settings
from support.command_line import fresh_user, orchestrator
from support.hub_double import REPO, Hub

CONTENT = b"GGUF" + bytes(range(256)) * 200
SEVERAL = {"m.Q4_K_M.gguf": CONTENT, "m.Q8_0.gguf": b"GGUF8", "README.md": b"#"}


@pytest.fixture
def serve(monkeypatch, tmp_path):
    from huggingface_hub import constants

    started = []

    def start(files=SEVERAL, **options):
        hub = Hub(files, **options)
        started.append(hub)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        route = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + route)
        return hub

    yield start
    for hub in started:
        hub.close()


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path / "data")


def test_the_usual_quantisation_is_taken_of_several_and_its_hash_checked(serve, settings):
    hub = serve()
    model = look_up(REPO)
    assert (model.licence, list(model.files), model.size) == ("apache-2.0", ["m.Q4_K_M.gguf"], len(CONTENT))
    version = download(settings, model)
    assert version.reference == "m.q4_k_m:1"
    assert version.path.read_bytes() == CONTENT
    assert version.manifest.source.startswith(f"hub:{REPO}@")
    assert hub.downloaded == ["m.Q4_K_M.gguf"]
    assert sorted(path.name for path in version.folder.iterdir()) == ["m.Q4_K_M.gguf", "manifest.json"]


def test_a_file_can_be_named_and_must_be_where_several_could_be_meant(serve, settings):
    serve({"a.Q8_0.gguf": b"GGUF", "a.Q2_K.gguf": b"GGUF2"})
    assert list(look_up(f"{REPO}:a.Q2_K.gguf").files) == ["a.Q2_K.gguf"]
    with pytest.raises(InvalidRequest, match="has these GGUF files"):
        look_up(REPO)
    with pytest.raises(InvalidRequest, match=r"has no b\.gguf"):
        look_up(f"{REPO}:b.gguf")
    for wrong in ("", "mistral", "a/b/c", "https://example.org/x.gguf"):
        with pytest.raises(InvalidRequest):
            look_up(wrong)


def test_a_split_model_comes_with_all_of_its_parts(serve, settings):
    files = {f"big-Q4_K_M-0000{number}-of-00003.gguf": b"GGUF%d" % number for number in (1, 2, 3)}
    serve(files)
    version = download(settings, look_up(REPO))
    assert sorted(version.manifest.files) == sorted(files)
    assert version.reference == "big-q4_k_m:1"


def test_a_download_that_broke_off_goes_on_where_it_stood(serve, settings, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what is kept is whole chunks
    hub = serve(break_off="m.Q4_K_M.gguf")
    assert download(settings, look_up(REPO)).path.read_bytes() == CONTENT
    assert ranges(hub) == ["", "bytes=25000-"]


def test_another_process_goes_on_with_the_same_download(serve, settings):
    hub = serve()
    model = look_up(REPO)
    part = settings.models_folder / ".incoming/m.q4_k_m/1/m.Q4_K_M.gguf"
    manifest = ModelManifest(name="m.q4_k_m", version="1", files=model.files)
    Registry(settings.models_folder).receive(manifest).append(part.name, 0, CONTENT[:30_000])
    assert download(settings, model).path.read_bytes() == CONTENT
    assert ranges(hub) == ["bytes=30000-"]


def ranges(hub):
    return [exchange.headers.get("Range") or "" for exchange in hub.seen if "/resolve/" in exchange.path]


def test_what_is_not_what_the_hub_says_never_becomes_a_version(serve, settings):
    serve(told_sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(Conflict) as caught:
        download(settings, look_up(REPO))
    assert caught.value.code == "wrong_hash"
    assert Registry(settings.models_folder).versions() == []


def test_a_hub_that_refuses_is_named(serve):
    serve(status=404)
    with pytest.raises(ModelNotFound, match="has no model"):
        look_up(REPO)


def test_the_hub_is_searched(serve):
    serve()
    assert model_hub.search("some") == [{"repo": REPO, "downloads": 7, "licence": "apache-2.0"}]


def test_mistral_comes_first_where_it_fits_and_never_what_does_not():
    assert recommended_for(16 << 30)[0].name == "mistral-7b-instruct"
    assert "mistral-7b-instruct" not in [model.name for model in recommended_for(4 << 30)]
    assert recommended_for(1 << 30)[0].name == "qwen2.5-0.5b-instruct"
    assert recommended_for(256 << 20) == []
    assert all(model.licence for model in RECOMMENDED)


def test_pulled_from_the_command_line_it_answers(serve, tmp_path):
    content = find_builtin(builtin_folders()).read_bytes()
    hub = serve({"tiny.Q4_K_M.gguf": content})
    env = fresh_user(tmp_path, "builtin") | {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
    del env["ORCHESTRATOR_BACKEND"]
    done = orchestrator(env, "models", "pull", REPO, "--yes", "--name", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0.01 GB, licence apache-2.0" in done.stdout
    assert "This machine answers with tiny:1 now" in done.stdout
    assert orchestrator(env, "models", "list").stdout.startswith("* tiny:1")
    listed = orchestrator(env, "models", "pull", "--list")
    assert listed.returncode == 0 and "licence" not in listed.stderr
    assert "Name one" in orchestrator(env, "models", "pull").stderr
