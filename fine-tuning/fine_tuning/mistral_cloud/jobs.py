"""Mistral's fine-tuning service through its own client: upload, job, monitoring, result.

A model tuned there stays there. Its weights cannot be downloaded, so it never becomes a version in
this house's registry and runs on none of the tiers; it can be asked through the service only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_data.records import Record

from fine_tuning.errors import CloudError, NotFinished
from fine_tuning.evaluation.answerers import GREEDY, Answerer, Messages, Sampling

KEY_VARIABLE = "MISTRAL_API_KEY"
NOT_DOWNLOADABLE = (
    "Models tuned by Mistral's service cannot be downloaded: this one answers through the service only, "
    "and none of your machines can run it. For that, train locally with train_mistral_qlora.py."
)
REQUEST_TIMEOUT_MS = 60_000
WAITS_S = (1.0, 4.0, 15.0, 60.0)
"""Before asking again, unless the service says how long."""
BUSY = frozenset({429, 503})
"""Refused before anything was done: asking again cannot do it twice."""
BROKEN = BUSY | {500, 502, 504}
ENDED = frozenset({"SUCCESS", "FAILED", "FAILED_VALIDATION", "TIMEOUT_EXCEEDED", "CANCELLED"})
SHORTEST_POLL_S, LONGEST_POLL_S = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how; tests give their own clock.

    Args:
        longest_s: for the whole job.
    """

    longest_s: float = 24 * 3600.0
    sleep: Callable[[float], None] = field(default=time.sleep)
    clock: Callable[[], float] = field(default=time.monotonic)


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class CloudJob:
    """`model` is the name of the tuned model, "" before it is there."""

    job_id: str
    status: str
    model: str
    trained_tokens: int | None


class MistralCloud:
    """The service, asked again while it is busy.

    Args:
        server_url: another than Mistral's own.

    Raises:
        CloudError: there is no key, or the client is not installed.
    """

    def __init__(self, server_url: str | None = None, patience: Patience = PATIENCE) -> None:
        try:
            from mistralai import Mistral
        except ImportError as error:
            raise CloudError("Mistral's client is missing: run `orchestrator install mistral`.") from error
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            raise CloudError(f"Set {KEY_VARIABLE} to your key for Mistral's service.")
        self._patience = patience
        self._client: Any = Mistral(api_key=key, server_url=server_url, timeout_ms=REQUEST_TIMEOUT_MS)

    def upload(self, records: Sequence[Record], name: str) -> str:
        """Id of the file that now holds the records' messages; labels stay here."""
        content = "".join(
            json.dumps({"messages": record.prompt + record.completion}, ensure_ascii=False) + "\n"
            for record in records
        ).encode()
        file = {"file_name": name, "content": content}
        return str(self._ask(lambda: self._client.files.upload(file=file, purpose="fine-tune"), BROKEN).id)

    def create(
        self, model: str, train: str, val: str | None, *, steps: int, learning_rate: float, suffix: str | None
    ) -> CloudJob:
        """Start a job on uploaded files. Only a busy service is asked again: there would be two jobs, and two bills."""
        return _job(
            self._ask(
                lambda: self._client.fine_tuning.jobs.create(
                    model=model,
                    training_files=[{"file_id": train, "weight": 1}],
                    validation_files=[val] if val else None,
                    hyperparameters={"training_steps": steps, "learning_rate": learning_rate},
                    suffix=suffix,
                    auto_start=True,
                    job_type="completion",
                ),
                BUSY,
            )
        )

    def job(self, job_id: str) -> CloudJob:
        return _job(self._ask(lambda: self._client.fine_tuning.jobs.get(job_id=job_id), BROKEN))

    def watch(self, job_id: str, tell: Callable[[CloudJob], None]) -> CloudJob:
        """Wait for the end; `tell` hears of every change.

        Raises:
            NotFinished: it took longer than patience lasts, or the service is gone for now.
            CloudError: the job failed.
        """
        until, pause, last = self._patience.clock() + self._patience.longest_s, SHORTEST_POLL_S, ""
        while True:
            try:
                job = self.job(job_id)
            except CloudError as error:
                raise NotFinished(f"The job {job_id} may still run: {error}", job_id) from error
            if job.status != last:
                last, pause = job.status, SHORTEST_POLL_S
                tell(job)
            if job.status == "SUCCESS":
                return job
            if job.status in ENDED:
                raise CloudError(f"The job {job_id} ended with {job.status}; Mistral's console says why.")
            if self._patience.clock() + pause > until:
                raise NotFinished(f"The job {job_id} still says {job.status}.", job_id)
            self._patience.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_S)

    def reply(self, model: str, messages: Messages, max_tokens: int, sampling: Sampling) -> str:
        """One answer of a model there."""
        answer = self._ask(
            lambda: self._client.chat.complete(
                model=model,
                messages=[dict(message) for message in messages],
                max_tokens=max_tokens,
                temperature=sampling.temperature,
                random_seed=sampling.seed,
            ),
            BROKEN,
        )
        content = answer.choices[0].message.content if answer.choices else None
        if not isinstance(content, str):
            raise CloudError(f"{model!r} gave no text.")
        return content.strip()

    def _ask(self, call: Callable[[], Any], again: Iterable[int]) -> Any:
        import httpx
        from mistralai.models import MistralError

        for wait in (*WAITS_S, None):
            try:
                return call()
            except MistralError as error:
                status, asked = error.status_code, error.headers.get("retry-after", "")
                problem = f"{status}: {error.body[:300]}"
            except httpx.HTTPError as error:
                # Whether a request that broke off was carried out is not known.
                status, asked, problem = (504, "", f"{type(error).__name__}: {error}")
            if wait is None or status not in again:
                raise CloudError(f"Mistral's service: {problem}")
            self._patience.sleep(min(float(asked), 300.0) if asked.isdecimal() else wait)
        raise AssertionError("the last wait is None")


class CloudAnswerer(Answerer):
    """A model of the service, for evaluation and comparison."""

    def __init__(self, cloud: MistralCloud, model: str) -> None:
        self._cloud, self._model = cloud, model

    def reply(self, messages: Messages, *, max_tokens: int = 96, sampling: Sampling = GREEDY) -> str:
        return self._cloud.reply(self._model, messages, max_tokens, sampling)

    def close(self) -> None: ...


def _job(answer: Any) -> CloudJob:
    tokens = getattr(answer, "trained_tokens", None)
    model = getattr(answer, "fine_tuned_model", None)
    return CloudJob(
        str(answer.id),
        str(answer.status),
        model if isinstance(model, str) else "",
        tokens if isinstance(tokens, int) else None,
    )
