"""Models on their way to a VPS that goes away, cuts parts off, or gets something else."""

import random

import pytest
from ai_orchestrator.vps_link import pushing
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from orchestrator_core.errors import BackendUnreachable, Conflict, TierLost, from_body
from orchestrator_core.models.registry import Registry
from support.lora_gguf import write_adapter
from support.vps_app import vps_app

CONTENT = b"GGUF" + random.Random(7).randbytes(100_000)


class AppLink:
    """Speaks to a VPS in this process, over a line that breaks.

    Args:
        breaks: whether call number N does not get there ("before"), or its answer does not come back ("after").
    """

    def __init__(self, vps, breaks=lambda number: None):
        self._vps = vps
        self._breaks = breaks
        self.calls = []

    def call(self, method, path, *, body=None, headers=None, **query):
        number = len(self.calls)
        self.calls.append((method, path, query.get("offset")))
        broken = self._breaks(number)
        if broken == "before":
            raise BackendUnreachable("The line is cut.")
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        response = self._vps.client.open(
            path, method=method, query_string=query, headers={**self._vps.key, **(headers or {})}, **content
        )
        if broken == "after":
            raise BackendUnreachable("The line is cut.")
        if response.status_code >= 300:
            raise from_body(response.json, response.status_code)
        return response.json


@pytest.fixture
def vps(tmp_path):
    with vps_app(tmp_path / "vps") as vps:
        yield vps


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setattr(pushing, "PART_BYTES", 30_000)
    (tmp_path / "mine.gguf").write_bytes(CONTENT)
    registry = Registry(tmp_path / "desktop" / "models")
    registry.add({"mine.gguf": tmp_path / "mine.gguf"}, {"name": "mine", "metrics": {"f1": 0.5}})
    return registry


def push(link, *versions, sleeps=None):
    seen = []
    pushing.push(link, list(versions), seen.append, sleep=(sleeps if sleeps is not None else []).append)
    return sum(seen)


def there(vps):
    return Registry(vps.data / "models")


def test_what_arrives_is_the_same_with_its_manifest(vps, registry):
    version = registry.find("mine:1")
    assert push(AppLink(vps), version) == len(CONTENT)
    assert there(vps).find("mine:1").manifest == version.manifest
    assert there(vps).find("mine:1").path.read_bytes() == CONTENT
    again = AppLink(vps)
    assert push(again, version) == len(CONTENT)
    assert len(again.calls) == 1


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_cut_anywhere_it_goes_on_there(vps, registry, kind, at):
    sleeps = []
    link = AppLink(vps, lambda number: kind if number == at else None)
    push(link, registry.find("mine:1"), sleeps=sleeps)
    assert there(vps).find("mine:1").path.read_bytes() == CONTENT
    assert len(sleeps) == 1
    sent = [offset for method, _, offset in link.calls if method == "PUT"]
    assert sent == sorted(sent), "nothing that had arrived is sent again"


def test_a_vps_that_stays_away_is_told_and_another_push_goes_on(vps, registry):
    version = registry.find("mine:1")
    with pytest.raises(TierLost, match="not sent to its end"):
        push(AppLink(vps, lambda number: "before" if number >= 3 else None), version)
    assert there(vps).versions() == []
    link = AppLink(vps)
    push(link, version)
    assert [offset for method, _, offset in link.calls if method == "PUT"] == [60_000, 90_000]


def test_a_file_that_changed_here_is_refused_there_and_never_used(vps, registry):
    version = registry.find("mine:1")
    version.path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(Conflict) as caught:
        push(AppLink(vps), version)
    assert caught.value.code == "wrong_hash"
    assert there(vps).versions() == []
    version.path.write_bytes(CONTENT[:-9])
    with pytest.raises(Conflict, match="shorter"):
        push(AppLink(vps), version)


def test_other_files_under_the_same_reference_are_refused(vps, registry, tmp_path):
    (tmp_path / "other.gguf").write_bytes(b"GGUF other")
    there(vps).add({"other.gguf": tmp_path / "other.gguf"}, {"name": "mine"})
    with pytest.raises(Conflict) as caught:
        push(AppLink(vps), registry.find("mine:1"))
    assert caught.value.code == "model_exists"


@pytest.mark.slow
def test_a_pushed_adapter_answers_on_a_real_vps_and_can_be_rolled_back(tmp_path):
    from support.command_line import run
    from support.fleet import Fleet

    base = find_builtin(builtin_folders())
    with Fleet(tmp_path, desktop=str(base), vps=str(base)) as fleet:
        fleet.connect()

        def orchestrator(*arguments):
            done = run(fleet.desktop.command_line(list(arguments)), fleet.desktop_env)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        orchestrator("models", "add", str(base), "--name", "base")
        adapter = write_adapter(base, tmp_path / "tuned.gguf")
        orchestrator("models", "add", str(adapter), "--base", "base")
        assert "tuned:1 now" in orchestrator("models", "activate", "tuned")
        assert fleet.get("/model/info", fleet.desktop_url).json()["model"] == "tuned:1"
        said = orchestrator("models", "push", "tuned")
        assert "The VPS answers with tuned:1 now (before: the model that the settings name)" in said
        done = fleet.client.ask({"message": "What is the relay?", "max_tokens": 4, "tier": "vps"}).done
        receipt = done["receipt"]
        assert (receipt["model"], receipt["base"], receipt["adapter"]) == ("tuned:1", "base:1", "tuned.gguf")
        assert "* tuned:1" in orchestrator("models", "list", "--vps")
        fleet.vps.kill()
        fleet.vps.start()
        fleet.wait_for_tier("desktop")
        assert fleet.get("/models").json()["active"] == "tuned:1"
        assert "before: tuned:1" in orchestrator("models", "rollback", "--vps")
        assert fleet.get("/models").json()["active"] is None
        assert "before: tuned:1" in orchestrator("models", "rollback")
