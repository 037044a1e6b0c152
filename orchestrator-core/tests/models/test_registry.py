"""The registry: whole versions or none, found by reference, one of them active."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import Conflict, InvalidRequest, ModelUnusable, NotFound
from orchestrator_core.models import incoming
from orchestrator_core.models import registry as module
from orchestrator_core.models.files import sha256_of
from orchestrator_core.models.manifest import ModelFile, ModelManifest, missing_shards, split_reference
from orchestrator_core.models.registry import Registry
from shared_context.errors import StoreFull


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def source(tmp_path, name="mine.gguf", content=b"GGUF of some kind"):
    path = tmp_path / name
    path.write_bytes(content)
    return {name: path}


def described(content, name="mine", version="1", file="mine.gguf"):
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    return ModelManifest(
        name=name, version=version, files={file: ModelFile(size=len(content), sha256=digest)}
    )


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_version_is_a_plain_folder_with_a_manifest(registry, tmp_path):
    version = registry.add(source(tmp_path), {"name": "mine", "licence": "mit", "metrics": {"f1": 0.7}})
    assert version.reference == "mine:1"
    assert version.path == tmp_path / "models/mine/1/mine.gguf"
    written = json.loads((version.folder / "manifest.json").read_text())
    assert written["files"]["mine.gguf"] == {"size": 17, "sha256": sha256_of(tmp_path / "mine.gguf")}
    assert written["metrics"] == {"f1": 0.7}
    version.verify()


def test_versions_count_up_and_the_newest_is_meant_by_the_name_alone(registry, tmp_path):
    for _ in range(11):
        registry.add(source(tmp_path), {"name": "mine"})
    assert registry.find("mine").reference == "mine:11"
    assert [version.manifest.version for version in registry.versions()][:3] == ["11", "10", "9"]
    assert registry.find("mine:2").reference == "mine:2"


@pytest.mark.parametrize(
    "reference", ["", ":", "a:", ":1", "../x", "a/b:1", "A:1", "a:1:2", ".active.json", "x" * 65, "a:.", "-a"]
)
def test_what_can_be_no_reference_is_refused(registry, reference):
    with pytest.raises(InvalidRequest):
        registry.find(reference)


@given(st.text(max_size=40))
def test_no_reference_leads_out_of_the_folder(text):
    try:
        name, version = split_reference(text)
    except InvalidRequest:
        return
    for part in (name, version or "x"):
        assert part not in (".", "..") and not set(part) & set("/\\\0:") and not part.startswith(".")


def test_an_unknown_model_is_said_to_be_unknown(registry):
    for reference in ("absent", "absent:3"):
        with pytest.raises(NotFound) as caught:
            registry.find(reference)
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_file_that_is_not_what_was_added_is_noticed(registry, tmp_path, damage):
    version = registry.add(source(tmp_path), {"name": "mine"})
    if damage == "gone":
        version.path.unlink()
    else:
        version.path.write_bytes(b"GGUF" if damage == "cut" else b"GGUF of some kinD")
    with pytest.raises(ModelUnusable) as caught:
        version.verify()
    assert caught.value.code == "model_damaged"
    assert "mine.gguf of mine:1" in caught.value.message


def test_a_split_model_without_one_of_its_parts_is_refused(registry, tmp_path):
    parts = {f"m-0000{number}-of-00003.gguf": tmp_path / f"{number}" for number in (1, 3)}
    for path in parts.values():
        path.write_bytes(b"GGUF")
    with pytest.raises(InvalidRequest, match=r"lacks m-00002-of-00003\.gguf"):
        registry.add(parts, {"name": "split"})
    assert registry.versions() == []


@given(st.integers(1, 12), st.data())
def test_every_missing_shard_is_named(count, data):
    names = [f"w-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    kept = data.draw(st.sets(st.sampled_from(names), min_size=1))
    assert missing_shards(kept) == sorted(set(names) - kept)


@pytest.mark.parametrize(
    "files", [{"a.gguf": b"", "b.gguf": b""}, {"readme.txt": b""}, {"config.json": b"{}"}]
)
def test_a_folder_that_is_not_one_model_is_refused(registry, tmp_path, files):
    given = {}
    for name, content in files.items():
        given |= source(tmp_path, name, content)
    with pytest.raises(InvalidRequest):
        registry.add(given, {"name": "mine"})
    assert registry.versions() == []


def test_a_full_disk_is_said_before_anything_is_written(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "ROOM_LEFT_BYTES", 1 << 62)
    with pytest.raises(StoreFull, match="does not have"):
        registry.add(source(tmp_path), {"name": "mine"})
    assert names_in(registry.folder) == [".lock"]


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing_half_written(registry, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "copy_hashed", full)
    with pytest.raises(StoreFull):
        registry.add(source(tmp_path), {"name": "mine"})
    assert registry.versions() == []
    assert names_in(registry.folder) == [".lock"]


def test_a_version_that_is_there_is_never_written_over(registry, tmp_path):
    registry.add(source(tmp_path), {"name": "mine", "version": "x"})
    with pytest.raises(Conflict) as caught:
        registry.add(source(tmp_path, content=b"GGUF other"), {"name": "mine", "version": "x"})
    assert caught.value.code == "model_exists"
    registry.find("mine:x").verify()


KILLED_AT = """
import os, sys
from pathlib import Path
from orchestrator_core.models import incoming
from orchestrator_core.models import registry as module
from orchestrator_core.models.registry import Registry

place, folder, file = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

def dies(*_, **__):
    os._exit(9)

if place == "copy":
    module.copy_hashed = dies
elif place == "rename":
    Path.rename = dies
elif place == "replace":
    Path.replace = dies
registry = Registry(folder)
registry.add({file.name: file}, {"name": "mine"})
if place == "pointer":
    Path.replace = dies
registry.activate("mine:1", "builtin")
"""


@pytest.mark.parametrize("place", ["copy", "rename", "replace", "pointer"])
def test_killed_at_any_stage_what_was_active_stays_active_and_whole(registry, tmp_path, place):
    registry.add(source(tmp_path, "old.gguf"), {"name": "old"})
    registry.activate("old:1", "builtin")
    (file,) = source(tmp_path).values()
    arguments = [sys.executable, "-c", KILLED_AT, place, str(registry.folder), str(file)]
    assert subprocess.run(arguments, timeout=60).returncode == 9
    assert registry.active().reference == "old:1"
    registry.find("old:1").verify()
    assert [version.reference for version in registry.versions()] == (
        ["mine:1", "old:1"] if place == "pointer" else ["old:1"]
    )
    # What was left over does not stand in the way.
    if place != "pointer":
        registry.add({file.name: file}, {"name": "mine"})
    registry.activate("mine:1", "builtin")
    assert registry.active().previous == "old:1"


class TestReceiving:
    CONTENT = bytes(range(256)) * 40

    def test_parts_arrive_in_order_and_go_on_where_they_stood(self, registry):
        manifest = described(self.CONTENT)
        incoming = registry.receive(manifest)
        incoming.append("mine.gguf", 0, self.CONTENT[:4000])
        assert registry.versions() == []
        again = registry.receive(manifest)
        assert again.held() == {"mine.gguf": 4000}
        again.append("mine.gguf", 4000, self.CONTENT[4000:])
        version = again.finish()
        version.verify()
        assert version.path.read_bytes() == self.CONTENT

    def test_a_part_that_arrives_twice_at_once_is_written_once(self, registry):
        manifest, part = described(self.CONTENT), self.CONTENT[:4000]
        registry.receive(manifest)

        def send(_):
            with suppress(Conflict):
                registry.incoming("mine:1").append("mine.gguf", 0, part)

        with ThreadPoolExecutor(8) as senders:
            list(senders.map(send, range(8)))
        assert (registry.incoming("mine:1").folder / "mine.gguf").read_bytes() == part

    def test_finished_twice_it_is_one_version(self, registry):
        one, other = (registry.receive(described(self.CONTENT)) for _ in range(2))
        one.append("mine.gguf", 0, self.CONTENT)
        assert one.finish().reference == other.finish().reference == "mine:1"

    def test_two_commands_do_not_write_the_same_version(self, registry):
        one, other = (registry.receive(described(self.CONTENT)) for _ in range(2))
        with one.writing(), pytest.raises(Conflict, match="by another command"), other.writing(wait=False):
            pass
        with other.writing(wait=False):
            other.append("mine.gguf", 0, self.CONTENT)

    @pytest.mark.parametrize(("offset", "size"), [(1, 5), (5000, 5), (0, 20_000)])
    def test_a_part_that_does_not_follow_is_refused(self, registry, offset, size):
        incoming = registry.receive(described(self.CONTENT))
        with pytest.raises(Conflict) as caught:
            incoming.append("mine.gguf", offset, b"x" * size)
        assert caught.value.code == "wrong_offset"
        assert incoming.held() == {"mine.gguf": 0}

    def test_a_wrong_hash_is_refused_and_the_file_can_be_sent_again(self, registry):
        incoming = registry.receive(described(self.CONTENT))
        incoming.append("mine.gguf", 0, self.CONTENT[:-1] + b"?")
        with pytest.raises(Conflict) as caught:
            incoming.finish()
        assert caught.value.code == "wrong_hash"
        assert registry.versions() == []
        incoming.append("mine.gguf", 0, self.CONTENT)
        incoming.finish()

    def test_an_incomplete_file_is_no_version(self, registry):
        incoming = registry.receive(described(self.CONTENT))
        incoming.append("mine.gguf", 0, b"GG")
        with pytest.raises(Conflict) as caught:
            incoming.finish()
        assert caught.value.code == "incomplete"
        assert incoming.held() == {"mine.gguf": 2}

    def test_other_content_under_the_same_reference_begins_anew(self, registry):
        registry.receive(described(self.CONTENT)).append("mine.gguf", 0, b"old")
        assert registry.receive(described(b"new one")).held() == {"mine.gguf": 0}

    @pytest.mark.parametrize(
        "name", ["../x.gguf", "a/b.gguf", ".hidden", "manifest.json", "Manifest.JSON", ""]
    )
    def test_a_file_name_that_is_a_path_or_the_manifest_is_refused(self, name):
        with pytest.raises(ValueError):
            described(b"x", file=name)

    def test_what_was_never_finished_can_be_removed(self, registry):
        registry.receive(described(self.CONTENT)).append("mine.gguf", 0, b"old")
        registry.remove("mine:1")
        with pytest.raises(NotFound):
            registry.incoming("mine:1")


class TestActive:
    def test_nothing_is_active_at_first(self, registry):
        assert registry.active() is None

    def test_the_former_one_is_kept_in_mind(self, registry):
        registry.activate("a:1", "builtin")
        registry.activate("b:1", "builtin")
        registry.activate("b:1", "builtin")
        assert registry.active().previous == "a:1"

    def test_under_other_settings_the_past_does_not_count(self, registry):
        registry.activate("a:1", "builtin")
        registry.activate("b:1", "other.gguf")
        assert registry.active().previous is None

    def test_an_active_version_and_the_base_of_another_are_not_removed(self, registry, tmp_path):
        registry.add(source(tmp_path), {"name": "base"})
        registry.add(source(tmp_path), {"name": "adapter", "base": "base:1"})
        registry.activate("adapter:1", "builtin")
        for reference in ("adapter:1", "base:1"):
            with pytest.raises(Conflict) as caught:
                registry.remove(reference)
            assert caught.value.code == "model_in_use"
        registry.activate(None, "builtin")
        registry.remove("adapter:1")
        registry.remove("base:1")
        assert registry.versions() == []

    def test_a_damaged_pointer_says_what_to_do(self, registry):
        registry.activate("a:1", "builtin")
        (registry.folder / ".active.json").write_text("{")
        with pytest.raises(ModelUnusable, match="names the active model"):
            registry.active()
        registry.activate("b:1", "builtin")
        assert registry.active().reference == "b:1"


def test_a_damaged_manifest_is_passed_over_in_the_list_and_named_when_asked_for(registry, tmp_path):
    version = registry.add(source(tmp_path), {"name": "mine"})
    (version.folder / "manifest.json").write_text("{}")
    assert registry.versions() == []
    with pytest.raises(ModelUnusable):
        registry.find("mine:1")
    registry.remove("mine:1")
    assert not version.folder.exists()
