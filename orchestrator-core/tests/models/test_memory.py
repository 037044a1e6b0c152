"""What of the machine's memory a model may take."""

import pytest
from orchestrator_core.errors import ModelUnusable
from orchestrator_core.models import memory
from orchestrator_core.models.memory import Memory, main_memory, refuse_too_large

GB = 10**9


@pytest.mark.parametrize(
    ("size", "total", "available", "told"),
    [
        (4 * GB, 4 * GB, 4 * GB, "needs about 5.2 GB of memory; this machine has 4.0 GB"),
        (4 * GB, 16 * GB, 5 * GB, "5.0 GB of 16.0 GB are free"),
        (1000, 500, 500, "this machine has 0.0 MB"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_sizes(size, total, available, told):
    with pytest.raises(ModelUnusable, match=told) as caught:
        refuse_too_large("mine:1", size, Memory(total, available))
    assert caught.value.code == "model_too_large" and caught.value.hint


def test_a_model_that_fits_beside_what_runs_passes():
    refuse_too_large("mine:1", 4 * GB, Memory(16 * GB, 6 * GB))


def test_a_control_group_that_allows_less_than_the_machine_counts(tmp_path, monkeypatch):
    own = tmp_path / "cgroup" / "system.slice" / "orchestrator.service"
    own.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/system.slice/orchestrator.service\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "own")
    machine = main_memory()
    assert machine.total > 1000
    for folder, limit in ((own, "max"), (own.parent, "1000")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("900\n")
        (folder / "memory.stat").write_text("anon 500\nactive_file 300\ninactive_file 100\n")
    assert main_memory() == Memory(1000, 500)


def test_weights_in_a_gpus_own_memory_are_left_to_its_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "main_memory", lambda: Memory(1, 1))
    monkeypatch.setattr(memory, "GPU_DEVICES", (tmp_path,))
    memory.check_fits("mine:1", GB, gpu_layers="auto")
    with pytest.raises(ModelUnusable):
        memory.check_fits("mine:1", GB, gpu_layers=0)
