"""Mistral's own client against a stand-in of the service that is busy, breaks off, stalls and fails."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fine_tuning.errors import CloudError, NotFinished
from fine_tuning.mistral_cloud.cli import finetune, inference
from fine_tuning.mistral_cloud.jobs import MistralCloud, Patience
from support.openai_server import HttpDouble
from training_data.records import Record

RECORDS = [Record.of("q", "a", topic="t", source="curated")]
FILE = {
    "id": "11111111-1111-1111-1111-111111111111",
    "object": "file",
    "bytes": 3,
    "created_at": 1,
    "filename": "f.jsonl",
    "purpose": "fine-tune",
    "sample_type": "instruct",
    "source": "upload",
}


def job(status: str) -> dict:
    return {
        "id": "22222222-2222-2222-2222-222222222222",
        "auto_start": True,
        "model": "open-mistral-7b",
        "status": status,
        "created_at": 1,
        "modified_at": 1,
        "training_files": [],
        "hyperparameters": {"training_steps": 1, "learning_rate": 1e-4},
        "object": "job",
        "job_type": "completion",
        "fine_tuned_model": "ft:open-mistral-7b:x" if status == "SUCCESS" else None,
        "trained_tokens": 10,
    }


class Service(HttpDouble):
    """Answers each route from its own list; the last one stays. An int is an error of this status, None breaks off."""

    def __init__(self) -> None:
        self.replies = {
            "/v1/files": [FILE],
            "POST /v1/fine_tuning/jobs": [job("QUEUED")],
            "/v1/fine_tuning/jobs/": [job("QUEUED"), job("RUNNING"), job("SUCCESS")],
            "/v1/chat/completions": [self.chat],
        }
        super().__init__(self.route)
        self.base = self.url.removesuffix("/v1")

    def route(self, exchange):
        exchange.method_path = f"{exchange.method} {exchange.path.partition('?')[0]}"
        key = next(
            key
            for key in reversed(self.replies)
            if key in exchange.method_path and (key[-1] == "/" or exchange.method_path.endswith(key))
        )
        replies = self.replies[key]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        reply = reply(exchange) if callable(reply) else reply
        if reply is None:
            exchange.drop()
        elif isinstance(reply, int):
            exchange.json({"message": "no"}, reply, {"Retry-After": "7"})
        else:
            exchange.json(reply)

    @staticmethod
    def chat(exchange):
        said = f"{exchange.body['model']}: {exchange.body['messages'][-1]['content']}"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {
            "id": "c",
            "object": "chat.completion",
            "model": "m",
            "created": 1,
            "usage": usage,
            "choices": [choice],
        }

    def created(self) -> int:
        return sum(seen.method == "POST" and seen.path == "/v1/fine_tuning/jobs" for seen in self.seen)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "key-secret")
    running = Service()
    yield running
    running.close()


def cloud_of(service, longest_s=3600.0):
    clock = Clock()
    return MistralCloud(service.base, Patience(longest_s, clock.sleep, lambda: clock.now)), clock


def start(cloud):
    return cloud.create("m", "f", None, steps=1, learning_rate=1e-4, suffix=None)


def test_a_dataset_is_uploaded_as_chats_alone_and_the_job_watched_to_its_end(service, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fine_tuning.mistral_cloud.cli.Patience", lambda longest_s: Patience(longest_s, lambda _: None)
    )
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps(RECORDS[0].as_dict()) + "\n")
    result = CliRunner().invoke(
        finetune,
        [
            "--train_file",
            str(train),
            "--val_file",
            str(train),
            "--server_url",
            service.base,
            "--output_dir",
            str(tmp_path / "out"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "tuned model: ft:open-mistral-7b:x" in result.output
    assert "cannot be downloaded" in result.output
    upload = next(seen for seen in service.seen if seen.path == "/v1/files")
    assert b'{"messages": [{"role": "user", "content": "q"}' in upload.raw
    assert b"topic" not in upload.raw
    (written,) = (tmp_path / "out").glob("*/training_metadata.yaml")
    assert "ft:open-mistral-7b:x" in written.read_text()
    assert "key-secret" not in written.read_text() + result.output


def test_a_busy_service_is_asked_again_when_it_says(service):
    service.replies["/v1/files"] = [429, 500, FILE]
    cloud, clock = cloud_of(service)
    assert cloud.upload(RECORDS, "f.jsonl") == FILE["id"]
    assert clock.slept == [7.0, 7.0]


@pytest.mark.parametrize("trouble", [500, 502, None])
def test_a_job_is_never_started_twice(service, trouble):
    service.replies["POST /v1/fine_tuning/jobs"] = [trouble, job("QUEUED")]
    with pytest.raises(CloudError):
        start(cloud_of(service)[0])
    assert service.created() == 1


def test_a_job_refused_for_now_is_asked_for_again(service):
    service.replies["POST /v1/fine_tuning/jobs"] = [429, job("QUEUED")]
    assert start(cloud_of(service)[0]).status == "QUEUED"


@pytest.mark.parametrize("status", ["FAILED", "FAILED_VALIDATION", "CANCELLED"])
def test_a_failed_job_is_an_error_with_its_state(service, status):
    service.replies["/v1/fine_tuning/jobs/"] = [job("RUNNING"), job(status)]
    with pytest.raises(CloudError, match=status):
        cloud_of(service)[0].watch("j", lambda _: None)


def test_a_job_that_stalls_is_left_running_with_its_id_told(service):
    service.replies["/v1/fine_tuning/jobs/"] = [job("RUNNING")]
    cloud, clock = cloud_of(service, longest_s=600.0)
    states = []
    with pytest.raises(NotFinished, match="RUNNING") as caught:
        cloud.watch("j", states.append)
    assert (caught.value.job_id, len(states)) == ("j", 1)
    assert clock.now <= 600


def test_a_service_that_is_gone_while_watching_does_not_lose_the_job(service):
    service.replies["/v1/fine_tuning/jobs/"] = [job("RUNNING"), None]
    with pytest.raises(NotFinished) as caught:
        cloud_of(service)[0].watch("j", lambda _: None)
    assert caught.value.job_id == "j"


def test_a_wrong_key_is_told_at_once(service):
    service.replies["/v1/files"] = [401]
    cloud, clock = cloud_of(service)
    with pytest.raises(CloudError, match="401"):
        cloud.upload(RECORDS, "f.jsonl")
    assert clock.slept == []


def test_without_a_key_nothing_is_sent(service, monkeypatch):
    monkeypatch.delenv("MISTRAL_API_KEY")
    with pytest.raises(CloudError, match="MISTRAL_API_KEY"):
        MistralCloud(service.base)


def test_what_is_the_owners_is_sent_only_when_asked_for(service, tmp_path):
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps(RECORDS[0].as_dict() | {"source": "conversation:c1"}) + "\n")
    result = CliRunner().invoke(finetune, ["--train_file", str(train), "--server_url", service.base])
    assert result.exit_code == 1
    assert "--upload_personal" in result.output
    assert service.seen == []


def test_the_tuned_model_and_its_base_answer_side_by_side(service):
    result = CliRunner().invoke(
        inference,
        [
            "--base_model",
            "base",
            "--fine_tuned_model",
            "ft",
            "--server_url",
            service.base,
            "--format",
            "markdown",
            "--prompts",
            "one",
            "two",
        ],
    )
    assert result.exit_code == 0, result.output
    assert "| two | base: two | ft: two |" in result.output
