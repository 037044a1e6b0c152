"""The main memory of this machine, as far as this process may use it, and whether a model fits into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.errors import ModelUnusable
from orchestrator_core.models.manifest import MEMORY_FACTOR

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
GPU_DEVICES = (Path("/dev/nvidia0"), Path("/dev/kfd"))
"""Of NVIDIA and AMD. An Apple GPU shares the main memory."""


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Args:
        total: bytes that this process may use at most.
        available: bytes that it could still use now; pages of files that can be read again count as available.
    """

    total: int
    available: int


def main_memory() -> Memory:
    """The machine's, or less where a control group (systemd's `MemoryMax`, a container) allows less."""
    import psutil

    machine = psutil.virtual_memory()
    known = [Memory(machine.total, machine.available), *_group_limits()]
    return Memory(min(each.total for each in known), min(each.available for each in known))


def check_fits(reference: str, size: int, *, gpu_layers: int | str) -> None:
    """`refuse_too_large` on this machine now. Weights in a GPU's own memory pass: only its driver, while they are
    loaded, knows what is free there.

    Raises:
        ModelUnusable.
    """
    if gpu_layers == 0 or not any(device.exists() for device in GPU_DEVICES):
        refuse_too_large(reference, size, main_memory())


def refuse_too_large(reference: str, size: int, memory: Memory) -> None:
    """
    Args:
        size: bytes of the model's files, those of an adapter's base included.

    Raises:
        ModelUnusable: (`model_too_large`) it does not fit into the memory, or not beside what runs.
    """
    needed = round(size * MEMORY_FACTOR)
    if needed > memory.total:
        raise ModelUnusable(
            f"{reference} needs about {_text(needed)} of memory; this machine has {_text(memory.total)}.",
            code="model_too_large",
            hint="Take a smaller model or quantisation: `orchestrator models pull --list` shows what fits here.",
        )
    if needed > memory.available:
        raise ModelUnusable(
            f"{reference} needs about {_text(needed)} of memory; {_text(memory.available)} of "
            f"{_text(memory.total)} are free while the other programs and the present model run.",
            code="model_too_large",
            hint="End other programs; or stop the server, activate the model, and start the server again.",
        )


def _group_limits() -> list[Memory]:
    """Of the process's control group and those above it (cgroup v2)."""
    try:
        line = next(line for line in OWN_CGROUP.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    own = CGROUPS / line.removeprefix("0::").strip("/")
    limits = [_limit(folder) for folder in (own, *own.parents) if folder.is_relative_to(CGROUPS)]
    return [limit for limit in limits if limit is not None]


def _limit(group: Path) -> Memory | None:
    try:
        total = int((group / "memory.max").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = int(stat["active_file"]) + int(stat["inactive_file"])
        used = int((group / "memory.current").read_text()) - files
    except (OSError, ValueError, KeyError):  # no cgroup v2, or `max`: no limit
        return None
    return Memory(total, max(0, total - used))


def _text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
