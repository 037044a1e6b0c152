"""Models on their way between machines: the real command's sending to a VPS that is killed, and a phone that fetches a
model of the desktop through the VPS, while the desktop is killed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ai_orchestrator.vps_link import pushing
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from orchestrator_core.errors import Conflict
from orchestrator_core.models.incoming import incoming_folder
from orchestrator_core.models.registry import Registry
from orchestrator_core.settings import Settings
from support.fleet import KEY, Fleet

BUILTIN = find_builtin(builtin_folders())
LARGE = 24 << 20
"""More than what lies in all the buffers between two processes."""

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, vps=str(BUILTIN)) as fleet:
        fleet.connect()
        yield fleet


def registry_of(fleet: Fleet, tier: str) -> Registry:
    environment = {"desktop": fleet.desktop_env, "vps": fleet.vps_env}[tier]
    return Registry(Path(environment["ORCHESTRATOR_DATA"]) / "models")


def test_a_vps_killed_while_it_receives_a_model_goes_on_where_it_stood(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "PART_BYTES", 256 * 1024)
    version = registry_of(fleet, "desktop").add({"mine.gguf": BUILTIN}, {"name": "mine"})
    half = incoming_folder(registry_of(fleet, "vps").folder, "mine", "1") / "mine.gguf"
    sent: list[int] = []
    kept: list[int] = []

    def killing(count: int) -> None:
        sent.append(count)
        if not kept and sum(sent) > version.manifest.size // 2:
            fleet.vps.kill()
            kept.append(half.stat().st_size)
            fleet.vps.start()

    arrived: list[int] = []
    with pushing.open_vps(Settings(data=Path(fleet.desktop_env["ORCHESTRATOR_DATA"]))) as server:
        call = server.call

        def noted(method: str, path: str, **fields: Any) -> Any:
            answer = call(method, path, **fields)
            if method == "PUT":
                arrived.append(fields["offset"])
            return answer

        monkeypatch.setattr(server, "call", noted)
        pushing.push(server, [version], killing)
        assert arrived == sorted(set(arrived)), "no part that arrived is sent again"
        assert kept and kept[0] in arrived and sum(sent) == version.manifest.size
        assert pushing.activate(server, "mine:1")["active"] == "mine:1"
        assert registry_of(fleet, "vps").find("mine:1").manifest == version.manifest

        other = registry_of(fleet, "desktop").add({"mine.gguf": BUILTIN}, {"name": "mine"})
        with other.path.open("r+b") as stream:
            stream.seek(-100, 2)
            stream.write(b"changed")
        with pytest.raises(Conflict, match="is not what its hash says"):
            pushing.push(server, [other])
    assert fleet.get("/models").json()["active"] == "mine:1"
    assert [each.reference for each in registry_of(fleet, "vps").versions()] == ["mine:1"]
    assert fleet.ask("Hello", tier="vps", max_tokens=2).done["receipt"]["model"] == "mine:1"


def test_a_phone_fetches_a_model_of_the_desktop_through_the_vps(fleet: Fleet, tmp_path: Path) -> None:
    content = b"GGUF" + random.Random(3).randbytes(LARGE)
    (tmp_path / "large.gguf").write_bytes(content)
    registry_of(fleet, "desktop").add({"large.gguf": tmp_path / "large.gguf"}, {"name": "large"})
    assert fleet.get("/models").json()["models"] == [], "those of the VPS, which has none"
    (model,) = fleet.get("/models", tier="desktop").json()["models"]
    (file,) = model["files"]
    digest = hashlib.sha256(content).hexdigest()
    assert (file["size"], file["sha256"]) == (len(content), digest)
    assert fleet.get("/models/large/1", tier="desktop").json() == model

    path = f"{fleet.url}/models/large/1/files/large.gguf"
    headers = {"Authorization": f"Bearer {KEY}", "X-Tier": "desktop"}
    arrived = bytearray()
    with requests.get(path, headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Accept-Ranges"] == "bytes"
        etag = answer.headers["ETag"]
        with pytest.raises(requests.RequestException):
            for part in answer.iter_content(64 * 1024):
                if not arrived:
                    fleet.desktop.kill()
                arrived += part
    assert etag == f'"{digest}"' and 0 < len(arrived) < len(content)
    assert fleet.get("/models", tier="desktop").status_code == 503

    fleet.desktop.start()
    fleet.wait_for_tier("desktop")
    rest = {**headers, "Range": f"bytes={len(arrived)}-", "If-Range": etag}
    with requests.get(path, headers=rest, timeout=30) as answer:
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {len(arrived)}-{len(content) - 1}/{len(content)}"
        arrived += answer.content
    assert hashlib.sha256(arrived).hexdigest() == digest
    beyond = {**headers, "Range": f"bytes={len(content)}-"}
    assert requests.get(path, headers=beyond, timeout=30).status_code == 416
