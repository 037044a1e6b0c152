"""`orchestrator train` and `jobs`: a small model learns for real, in a process of its own."""

import json

import pytest
from support.command_line import fresh_user, orchestrator
from support.micro_model import micro_folder

LINES = [{"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(8)]


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "My facts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


@pytest.mark.slow
def test_a_model_of_the_registry_is_trained_and_the_job_is_listed(tmp_path, dataset):
    env = fresh_user(tmp_path)
    folder = micro_folder(tmp_path / "micro")
    added = orchestrator(env, "models", "add", str(folder))
    assert added.returncode == 0, added.stderr
    options = {
        "max_steps": 2,
        "batch_size": 1,
        "gradient_accumulation_steps": 1,
        "quantization": "none",
        "lora_r": 4,
    }
    given = [word for item in options.items() for word in ("-o", *map(str, item))]
    done = orchestrator(env, "train", str(dataset), "-m", "micro", *given, "-o", "logging_steps", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = json.loads(orchestrator(env, "jobs", "list", "--json").stdout)
    assert (job["state"], job["kind"], job["dataset"][:9]) == ("SUCCESS", "train", "My-facts-")
    output = tmp_path / "data/jobs" / job["job_id"] / "output"
    assert (output / "adapter_model.safetensors").exists()
    metrics = (output.parent / "metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[0])["step"] == 1 and "loss" in json.loads(metrics[0])
    assert orchestrator(env, "jobs", "watch", job["job_id"]).returncode == 0
    assert orchestrator(env, "jobs", "remove", job["job_id"]).returncode == 0


def test_what_cannot_be_trained_says_why(tmp_path, dataset):
    env = fresh_user(tmp_path)
    assert "Without a running server" in orchestrator(env, "train", str(dataset), "--detach").stderr
    wrong = orchestrator(env, "train", str(dataset), "-o", "num_epochs", "0")
    assert wrong.returncode == 2 and "num_epochs" in wrong.stderr
    dataset.write_text("{")
    malformed = orchestrator(env, "train", str(dataset))
    assert malformed.returncode == 1 and "line 1" in malformed.stderr.lower()
    assert "no dataset" in orchestrator(env, "train", "absent.jsonl").stderr
    assert orchestrator(env, "jobs", "list", "--json").stdout == "[]\n"
