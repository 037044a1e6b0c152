from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ai_orchestrator.doctor import checks, judge
from ai_orchestrator.doctor.snapshot import (
    ConfigurationSeen,
    DataFolderSeen,
    EmbeddingsSeen,
    EngineSeen,
    ExposureSeen,
    GpuSeen,
    MachineSnapshot,
    MemorySeen,
    ModelSeen,
    PortSeen,
    PythonSeen,
    StoreSeen,
)

GIB = 1024**3
ENGINE = EngineSeen("0.3.36", "tiny.gguf", None, 100.0, False)
MODEL = ModelSeen("builtin", "llama_cpp", Path("/m/tiny.gguf"), 8 * 1024**2, True, 2048)
DATA = DataFolderSeen(Path("/d"), 0o700, None, 50 * GIB)
HEALTHY = MachineSnapshot(
    python=PythonSeen((3, 11, 7), "/usr/bin/python3"),
    configuration=ConfigurationSeen(),
    engine=ENGINE,
    model=MODEL,
    memory=MemorySeen(16 * GIB, 8 * GIB),
    gpu=GpuSeen((), "no nvidia-smi"),
    port=PortSeen("127.0.0.1", 5000, "free"),
    exposure=ExposureSeen("127.0.0.1", True, None),
    data=DATA,
    stores=(StoreSeen("memory.db", "current", 1, 1), StoreSeen("runs.db", "absent", newest=1)),
)

TROUBLES = [
    ("python", {"python": PythonSeen((3, 9, 1), "x")}, "fail", "3.9.1"),
    ("configuration", {"configuration": ConfigurationSeen(problem="No.", hint="Do.")}, "fail", "No."),
    ("configuration", {"configuration": ConfigurationSeen(unknown_variables=("ORCHESTRATOR_PROT",))}, "warn",
     "ORCHESTRATOR_PROT"),
    ("configuration", {"configuration": ConfigurationSeen(Path("/c.yaml"), 0o644, True)}, "warn", "/c.yaml"),
    ("data folder", {"data": replace(DATA, problem="nothing can be written")}, "fail", "/d"),
    ("data folder", {"data": replace(DATA, mode=0o755)}, "warn", "755"),
    ("disk", {"data": replace(DATA, free=50 * 1024**2)}, "fail", "50.0 MiB"),
    ("disk", {"data": replace(DATA, free=GIB // 2)}, "warn", "512.0 MiB"),
    ("disk", {"data": replace(DATA, free=None)}, "warn", "unknown"),
    ("database memory.db", {"stores": (StoreSeen("memory.db", "future", 9, 1),)}, "fail", "9"),
    ("database memory.db", {"stores": (StoreSeen("memory.db", "damaged", detail="not a db"),)}, "fail", "not a db"),
    ("engine", {"engine": EngineSeen(None)}, "fail", "not installed"),
    ("engine", {"engine": EngineSeen("0.3", "m", "crashed with SIGSEGV")}, "fail", "SIGSEGV"),
    ("engine", {"engine": EngineSeen("0.3")}, "warn", "no small model"),
    ("engine", {"engine": EngineSeen(None), "model": ModelSeen("m", "openai")}, "warn", "not installed"),
    ("model", {"model": ModelSeen("x.gguf", "", problem="There is no model at 'x.gguf'.")}, "fail", "x.gguf"),
    ("model", {"model": ModelSeen("owner/name", "transformers", downloaded=False)}, "warn", "not downloaded"),
    ("embeddings", {"embeddings": EmbeddingsSeen("e.gguf", problem="No file.")}, "fail", "No file."),
    ("embeddings", {"embeddings": EmbeddingsSeen("engine")}, "warn", "engine was not made for embeddings"),
    ("embeddings", {"embeddings": EmbeddingsSeen("c.gguf", 64, "mean", assumed=True)}, "warn", "c.gguf"),
    ("memory", {"model": replace(MODEL, size=20 * GIB)}, "fail", "26.0 GiB"),
    ("memory", {"model": replace(MODEL, size=10 * GIB)}, "warn", "13.0 GiB"),
    ("gpu", {"gpu": GpuSeen(("RTX 2080",), "nvidia-smi")}, "warn", "RTX 2080"),
    ("port", {"port": PortSeen("127.0.0.1", 5000, "taken", "Port 5000 is in use by x.")}, "fail", "in use by x"),
    ("port", {"port": PortSeen("10.9.9.9", 5000, "unusable", "Cannot assign")}, "fail", "Cannot assign"),
    ("exposure", {"exposure": ExposureSeen("0.0.0.0", False, None, "No key.", "Set one.")}, "fail", "No key."),
    ("exposure", {"exposure": ExposureSeen("0.0.0.0", False, 4)}, "warn", "short"),
]  # fmt: skip

FINE = [
    ("embeddings", {}, "off"),
    ("embeddings", {"embeddings": EmbeddingsSeen("e.gguf", 384, "mean")}, "vectors of 384 numbers"),
    ("data folder", {"data": replace(DATA, mode=None)}, "will be made"),
    ("data folder", {"data": replace(DATA, server="http://127.0.0.1:5000")}, "held by the server"),
    ("database memory.db", {"stores": (StoreSeen("memory.db", "older", 1, 2),)}, "brings it to 2"),
    (
        "gpu",
        {"gpu": GpuSeen(("RTX 2080",), "nvidia-smi"), "engine": replace(ENGINE, gpu_offload=True)},
        "RTX",
    ),
    ("port", {"port": PortSeen("127.0.0.1", 5000, "ours", "http://x:7")}, "answers at http://x:7"),
    ("exposure", {"exposure": ExposureSeen("0.0.0.0", False, 40)}, "a key is asked for"),
    ("model", {"model": ModelSeen("owner/name", "transformers")}, "through transformers"),
    ("memory", {"model": ModelSeen("owner/name", "transformers")}, "available"),
]


def test_a_healthy_machine_is_fine() -> None:
    findings = judge(HEALTHY)
    assert {one.verdict for one in findings} == {"ok"}
    assert all(one.advice is None for one in findings)
    assert len({one.check for one in findings}) == len(findings)


@pytest.mark.parametrize(("check", "changes", "verdict", "said"), TROUBLES)
def test_a_trouble_has_its_verdict_and_its_advice(
    check: str, changes: dict[str, object], verdict: str, said: str
) -> None:
    findings = {one.check: one for one in judge(replace(HEALTHY, **changes))}
    found = findings[check]
    assert found.verdict == verdict
    assert said in found.message
    assert found.advice or check == "disk"


@pytest.mark.parametrize(("check", "changes", "said"), FINE)
def test_what_is_unusual_but_fine_is_no_trouble(check: str, changes: dict[str, object], said: str) -> None:
    found = {one.check: one for one in judge(replace(HEALTHY, **changes))}[check]
    assert (found.verdict, found.advice) == ("ok", None)
    assert said in found.message


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**4, "5120.0 GiB")]
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert checks.size(count) == text
