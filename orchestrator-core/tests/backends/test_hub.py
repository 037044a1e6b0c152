"""Models from a hub that answers, refuses, is silent, or is not there at all."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from orchestrator_core.backends import hub
from orchestrator_core.errors import ModelNotFound, ModelUnusable
from support.hub_double import REPO, Hub
from support.ports import nobody_listens

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"w" * 5000,
    "pytorch_model.bin": b"the same again",
    "consolidated.safetensors": b"the same again",
    "onnx/model.onnx": b"another format",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_failures", {})
    return folder


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    from huggingface_hub import constants

    def use(url: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        route = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + route)

    return use


@pytest.fixture
def serve(endpoint: Callable[[str], None]) -> Iterator[Callable[..., Hub]]:
    started: list[Hub] = []

    def start(files: dict[str, bytes] = FILES, **options: object) -> Hub:
        started.append(Hub(files, **options))  # type: ignore[arg-type]
        endpoint(started[-1].endpoint)
        return started[-1]

    yield start
    for double in started:
        double.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address where nobody listens."""
    with nobody_listens() as port:
        yield f"http://127.0.0.1:{port}"


def test_a_model_is_downloaded_once_and_then_taken_from_the_cache(
    serve: Callable[..., Hub], endpoint: Callable[[str], None], refusing: str
) -> None:
    double = serve()
    folder = hub.fetch(REPO)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        name: FILES[name] for name in ("config.json", "tokenizer.json", "model.safetensors")
    }
    assert double.downloaded == ["config.json", "model.safetensors", "tokenizer.json"]
    endpoint(refusing)
    assert hub.fetch(REPO) == folder


def test_a_download_that_broke_off_goes_on_where_it_stood(
    serve: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)  # what is kept is whole chunks
    double = serve(break_off="model.safetensors")
    folder = hub.fetch(REPO)
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    ranges = [exchange.headers.get("Range") or "" for exchange in double.seen]
    assert any(span.startswith("bytes=2500-") for span in ranges)


def test_a_download_that_fails_leaves_nothing_that_looks_like_a_model(serve: Callable[..., Hub]) -> None:
    double = serve(missing="model.safetensors")
    with pytest.raises(ModelNotFound, match="the download broke off") as caught:
        hub.fetch(REPO)
    assert "goes on from there" in str(caught.value.hint)
    assert hub.find_cached(REPO) is None
    double.missing = None
    assert hub.is_complete(hub.fetch(REPO))


def test_a_model_that_is_partly_in_the_cache_is_completed(serve: Callable[..., Hub]) -> None:
    double = serve()
    folder = hub.fetch(REPO)
    (folder / "model.safetensors").unlink()
    assert hub.find_cached(REPO) is None
    double.seen.clear()
    assert hub.fetch(REPO) == folder
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize("kind", ["silent", "refusing"])
def test_a_hub_that_cannot_be_reached_is_named_with_what_to_do(
    kind: str,
    request: pytest.FixtureRequest,
    endpoint: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "CONNECT_TIMEOUT_S", 0.2)
    url = request.getfixturevalue(kind)
    endpoint(url)
    with pytest.raises(ModelNotFound) as caught:
        hub.fetch(REPO)
    assert REPO in caught.value.message
    assert f"the hub at {url} cannot be reached" in caught.value.message
    for way in ("local folder", ".gguf", f"hf download {REPO}", "HF_HUB_OFFLINE=1"):
        assert way in str(caught.value.hint)


def test_a_look_at_the_hub_that_no_timeout_ends_is_left_behind(
    silent: str, endpoint: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a name is looked up at a server that drops packets."""
    monkeypatch.setattr(hub, "CONNECT_TIMEOUT_S", 60.0)
    monkeypatch.setattr(hub, "REACH_TIMEOUT_S", 0.1)
    endpoint(silent)
    with pytest.raises(ModelNotFound, match=r"no answer within 0\.1 s"):
        hub.fetch(REPO)


def test_a_hub_that_could_not_be_reached_is_asked_again_only_later(
    serve: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    double = serve(status=503)
    for _ in range(3):
        with pytest.raises(ModelNotFound, match="cannot be reached"):
            hub.fetch(REPO)
    asked = [exchange.path for exchange in double.seen if exchange.path.startswith("/api/models")]
    assert len(asked) == 1
    double.status = 200
    monkeypatch.setattr(hub, "ASK_AGAIN_AFTER_S", 0.0)
    assert hub.fetch(REPO)


def test_offline_nothing_is_asked(serve: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    double = serve()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set"):
        hub.fetch(REPO)
    assert double.seen == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "has no model"),
        (401, "gated or private|has no model"),
        (403, "gated or private"),
        (503, "answers 503"),
    ],
)
def test_a_refusal_is_explained(serve: Callable[..., Hub], status: int, words: str) -> None:
    serve(status=status)
    with pytest.raises(ModelNotFound, match=words):
        hub.fetch(REPO)


def test_a_repository_of_something_else_is_unusable(serve: Callable[..., Hub]) -> None:
    serve({"model-Q4_K_M.gguf": b"GGUF"})
    with pytest.raises(ModelUnusable, match=r"no config\.json") as caught:
        hub.fetch(REPO)
    assert "*.gguf" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["owner/a--b", "owner/a..b", "owner/" + "x" * 200])
def test_a_name_that_no_repository_can_have_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound, match="cannot be the name"):
        hub.fetch(name)


def test_an_adapter_is_fetched_like_a_model(serve: Callable[..., Hub]) -> None:
    serve({"adapter_config.json": b"{}", "adapter_model.safetensors": b"w"})
    folder = hub.fetch(REPO, "adapter_config.json")
    assert hub.find_cached(REPO, "adapter_config.json") == folder


def test_a_download_is_logged(
    serve: Callable[..., Hub], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PROGRESS_EVERY_S", 0.0)
    double = serve()
    with caplog.at_level(logging.INFO):
        hub.fetch(REPO)
    assert f"Downloading {REPO} from {double.endpoint}: 3 files." in caplog.text
    assert f"Downloading {REPO}: " in caplog.text
    assert f"Downloaded {REPO}." in caplog.text


def test_of_several_formats_one_is_wanted() -> None:
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    both = ["config.json", "tokenizer.model", "pytorch_model.bin", "README.md", *shards]
    assert hub.wanted_files(both) == sorted(["config.json", "tokenizer.model", *shards])
    assert hub.wanted_files(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]


@pytest.mark.parametrize("index", [{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}, [], "no"])
def test_a_model_of_which_a_part_is_missing_is_not_complete(tmp_path: Path, index: object) -> None:
    for name in ("config.json", "tokenizer.json", "1.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not hub.is_complete(tmp_path)
    (tmp_path / "2.safetensors").write_bytes(b"")
    assert hub.is_complete(tmp_path) == isinstance(index, dict)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["silent", "refusing"])
def test_the_command_line_ends_where_the_hub_does_not_answer(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    url = request.getfixturevalue(kind)
    app = Path(__file__).parents[3] / "orchestrator-app"
    surroundings = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "main.py", "--model", "owner/none", "--prompt", "hello"],
        cwd=app,
        env=surroundings | {"ORCHESTRATOR_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode != 0
    assert "owner/none" in done.stderr
    assert f"the hub at {url} cannot be reached" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
