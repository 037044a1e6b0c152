"""Jobs: one after the other, in processes that outlive whoever started them, and out of the way of questions."""

import json
import os
import signal
import sys
import time
from contextlib import suppress

import psutil
import pytest
from ai_orchestrator.jobs import store as module
from ai_orchestrator.jobs.job import JobState
from ai_orchestrator.jobs.runner import JobRunner
from ai_orchestrator.jobs.store import JobStore
from ai_orchestrator.jobs.watching import JobWatcher
from orchestrator_core.errors import Conflict, InvalidRequest, NotFound
from orchestrator_core.models.registry import Registry
from orchestrator_core.settings import Settings
from support.waiting import wait_until

DATASET = b'{"instruction": "What is it?", "output": "It."}\n'


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path)


@pytest.fixture
def store(settings):
    store = JobStore(settings)
    store.datasets.keep("d.jsonl", DATASET)
    return store


@pytest.fixture
def running(store):
    """Runs what a test queues; ends what is left."""
    started = []

    def start(busy=lambda: False, idle_s=0.0):
        runner = JobRunner(store, busy, idle_s=idle_s)
        runner.start()
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.close()
    for job in store.all():
        process = job.process
        if process is not None:
            with suppress(psutil.Error):
                for each in [*process.children(recursive=True), process]:
                    each.kill()


def queue(store, monkeypatch, code):
    """A job whose work is this Python code."""
    monkeypatch.setattr(module, "arguments_of", lambda *_: [sys.executable, "-c", code])
    return store.create("train", "builtin", "d.jsonl", {})


def ends_as(job, state):
    wait_until(lambda: job.state.ended, 60)
    assert job.state is state, job.log_text(4000)


def test_a_job_runs_in_its_folder_and_its_words_are_in_the_log(store, running, monkeypatch):
    job = queue(store, monkeypatch, "import os; print('hello'); open('here', 'w').write(os.environ['PATH'])")
    assert job.state is JobState.QUEUED
    running()
    ends_as(job, JobState.SUCCESS)
    assert job.log_text(100) == "hello\n"
    assert (job.output / "here").exists()
    assert job.result["exit_code"] == 0


def test_it_is_handed_none_of_the_owners_secrets(store, running, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", "/hub")
    job = queue(
        store, monkeypatch, "import os; print(sorted(n for n in os.environ if n[:3] in ('ORC', 'HF_')))"
    )
    running()
    ends_as(job, JobState.SUCCESS)
    known = ["HF_HOME", "ORCHESTRATOR_METRICS_FILE", "ORCHESTRATOR_PAUSE_FILE"]
    assert job.log_text(200) == f"{known}\n"


def test_one_runs_at_a_time_in_the_order_of_asking(store, running, monkeypatch):
    shared = f"print(*open({str(store.folder / 'seen')!r}, 'a+').write('x') * [0] or 'ran')"
    first = queue(store, monkeypatch, f"import time; time.sleep(0.6); {shared}")
    second = queue(store, monkeypatch, shared)
    running()
    wait_until(lambda: first.state is JobState.RUNNING, 30)
    assert second.state is JobState.QUEUED
    ends_as(second, JobState.SUCCESS)
    assert first.state is JobState.SUCCESS
    assert first.result["ended_at"] <= second.result["ended_at"]


def test_a_failure_says_why(store, running, monkeypatch):
    job = queue(store, monkeypatch, "raise SystemExit('The dataset is about nothing.')")
    running()
    ends_as(job, JobState.FAILED)
    assert job.problem == "The dataset is about nothing."


def test_a_cancelled_job_may_clean_up_and_a_waiting_one_never_begins(store, running, monkeypatch):
    code = (
        "import time\nprint('begun', flush=True)\ntry:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('checkpoint')\n    raise SystemExit(130)"
    )
    job, waiting = queue(store, monkeypatch, code), queue(store, monkeypatch, code)
    waiting.cancel()
    running()
    wait_until(lambda: "begun" in job.log_text(100), 30)
    job.cancel()
    ends_as(job, JobState.CANCELLED)
    assert "checkpoint" in job.log_text(1000)
    assert waiting.state is JobState.CANCELLED and not waiting.log.exists()
    job.cancel()


def test_a_job_outlives_the_server_that_started_it(store, settings, running, monkeypatch):
    job = queue(store, monkeypatch, "import time; time.sleep(1); print('done')")
    after = queue(store, monkeypatch, "print('next')")
    first = running()
    wait_until(lambda: job.state is JobState.RUNNING, 30)
    first.close()
    again = JobStore(settings).find(job.request.job_id)
    assert again.state is JobState.RUNNING
    running()
    ends_as(again, JobState.SUCCESS)
    ends_as(after, JobState.SUCCESS)


def test_a_job_whose_process_was_killed_has_failed(store, running, monkeypatch):
    job = queue(store, monkeypatch, "import time; time.sleep(60)")
    running()
    wait_until(lambda: job.state is JobState.RUNNING and job.process.children(), 30)
    work = job.process.children()
    os.kill(job.process.pid, signal.SIGKILL)
    ends_as(job, JobState.FAILED)
    assert "killed" in job.problem
    for process in work:
        process.kill()


def test_nobody_works_twice_on_one_job(store, running, monkeypatch):
    job = queue(store, monkeypatch, "import time; print('once'); time.sleep(0.3)")
    assert [process.wait(60) for process in (store.begin(job), store.begin(job))] == [0, 0]
    assert job.log_text(100) == "once\n"


def test_a_question_pauses_a_training_at_the_end_of_its_step(store, running, monkeypatch):
    code = (
        "from fine_tuning.training.pausing import PAUSE_FILE, wait_while_paused\nimport os, time\n"
        "from pathlib import Path\n"
        "for step in range(1000):\n"
        "    wait_while_paused(Path(os.environ[PAUSE_FILE])); print(step, flush=True); time.sleep(0.02)"
    )
    asking = []
    job = queue(store, monkeypatch, code)
    running(lambda: bool(asking))
    wait_until(lambda: len(job.log_text(10**6)) > 10, 30)
    asking.append("a question")
    wait_until(store.pause_file.exists, 10)
    time.sleep(0.3)
    held = job.log_text(10**6)
    time.sleep(0.6)
    assert job.log_text(10**6) == held
    asking.clear()
    wait_until(lambda: job.log_text(10**6) != held, 30)
    job.cancel()


def test_no_job_begins_while_somebody_asks(store, monkeypatch):
    now, asking = [0.0], [True]
    job = queue(store, monkeypatch, "print('x')")
    runner = JobRunner(store, lambda: asking[0], idle_s=10.0, clock=lambda: now[0])
    runner.tick()
    asking[0] = False
    now[0] = 9.0
    runner.tick()
    assert job.state is JobState.QUEUED and not runner._started
    now[0] = 10.0
    runner.tick()
    ends_as(job, JobState.SUCCESS)
    assert not store.pause_file.exists()
    runner._started.popitem()[1].wait(10)


def test_an_ended_job_is_forgotten_and_a_running_one_is_not(store, running, monkeypatch):
    job = queue(store, monkeypatch, "print('x')")
    with pytest.raises(Conflict):
        store.delete(job.request.job_id)
    running()
    ends_as(job, JobState.SUCCESS)
    store.delete(job.request.job_id)
    for unknown in (job.request.job_id, "../x", ""):
        with pytest.raises(NotFound):
            store.find(unknown)


def test_a_watcher_tells_log_metrics_and_the_end_from_any_offset(store, running, monkeypatch):
    code = (
        "import json, os\nopen(os.environ['ORCHESTRATOR_METRICS_FILE'], 'w').write(json.dumps({'loss': 1.5}) + '\\n')\n"
        "print('one')\nprint('zwei ☃')"
    )
    job = queue(store, monkeypatch, code)
    running()
    ends_as(job, JobState.SUCCESS)
    events = list(JobWatcher(job).events())
    assert [event.kind for event in events] == ["log", "metrics", "state"]
    assert events[0].data["text"].splitlines() == ["one", "zwei ☃"]
    assert events[1].data == {"loss": 1.5}
    assert events[2].data == {"state": "SUCCESS", "done": True, "problem": None}
    later = JobWatcher(job, offset=4)
    assert next(later.events()).data["text"] == "zwei ☃\n"


class TestAsking:
    @pytest.mark.parametrize(
        "options",
        [
            {"learning_rate": "fast"},
            {"unknown": 1},
            {"trust_remote_code": True},
            {"output_dir": "/etc"},
            {"lora": {"r": 1}},
            {"num_epochs": 0},
        ],
    )
    def test_options_that_no_job_may_have_are_refused(self, store, options):
        with pytest.raises(InvalidRequest):
            store.create("train", "builtin", "d.jsonl", options)
        assert store.all() == []

    def test_the_work_gets_flags_that_cannot_be_taken_for_others(self, store):
        job = store.create(
            "train", "owner/name", "d.jsonl", {"num_epochs": 2, "lora_r": 8, "optimizer": "adamw_torch"}
        )
        flags = job.request.arguments[3:]
        assert {"--model=owner/name", "--num_epochs=2", "--lora_r=8", "--optimizer=adamw_torch"} < set(flags)
        assert all(flag.startswith("--") for flag in flags)
        assert json.loads((job.folder / "job.json").read_text())["options"]["lora_r"] == 8

    @pytest.mark.parametrize("model", ["absent:1", "-x", "../../etc", "https://example.org/x"])
    def test_a_model_that_is_none_is_refused(self, store, model):
        with pytest.raises((InvalidRequest, NotFound)):
            store.create("train", model, "d.jsonl", {})

    def test_an_unknown_dataset_is_refused(self, store):
        for name in ("absent.jsonl", "../d.jsonl", "d.txt"):
            with pytest.raises((InvalidRequest, NotFound)):
                store.create("train", "builtin", name, {})

    def test_an_evaluation_of_a_version_is_kept_beside_it_where_the_gate_looks(
        self, store, settings, tmp_path
    ):
        (tmp_path / "lora.gguf").write_bytes(b"GGUF")
        registry = Registry(settings.models_folder)
        version = registry.add({"lora.gguf": tmp_path / "lora.gguf"}, {"name": "tuned", "base": "builtin"})
        flags = store.create("eval", "tuned", "d.jsonl", {"limit": 3}).request.arguments
        assert f"--adapter={version.path}" in flags and f"--results_dir={version.evaluations}" in flags
        with pytest.raises(InvalidRequest, match="is an adapter"):
            store.create("train", "tuned", "d.jsonl", {})
