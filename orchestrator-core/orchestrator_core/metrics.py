"""What Prometheus is told. One registry per server, so that two in a process do not mix.

Counters and histograms are fed by the HTTP layer; load and KV use are read from the
backend and the runs at the moment of scraping.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from shared_context.retrieval.embedding import EmbeddingState

from orchestrator_core.backend import BackendStats

FIRST_TOKEN_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
"""From a warm prefix on a GPU to a cold long prompt on two cores."""

TOKEN_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2)
"""From 200 tokens per second to one pause of a prefill chunk."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """
    Args:
        stats: the backend's load now; it must not load a model.
        active_states: the state of every run that is not over.
        embeddings: how far search by meaning is; None where there is none.
    """

    def __init__(
        self,
        stats: Callable[[], BackendStats],
        active_states: Callable[[], Iterable[str]],
        embeddings: Callable[[], EmbeddingState | None] = lambda: None,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "orchestrator_http_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.first_token = Histogram(
            "orchestrator_first_token_seconds",
            "From the request to the first token of its answer.",
            buckets=FIRST_TOKEN_BUCKETS_S,
            registry=self.registry,
        )
        self.token = Histogram(
            "orchestrator_token_seconds",
            "Between two tokens of one answer.",
            buckets=TOKEN_BUCKETS_S,
            registry=self.registry,
        )
        self.prompt_tokens = Counter(
            "orchestrator_prompt_tokens", "Tokens of prompts answered.", registry=self.registry
        )
        self.cached_tokens = Counter(
            "orchestrator_cached_tokens",
            "Prompt tokens that were already computed.",
            registry=self.registry,
        )
        self.completion_tokens = Counter(
            "orchestrator_completion_tokens", "Tokens of answers.", registry=self.registry
        )
        self.finished_runs = Counter(
            "orchestrator_runs_finished", "Runs by how they ended.", ("state",), registry=self.registry
        )
        self.registry.register(_Moment(stats, active_states, embeddings))

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class _Moment(Collector):
    """Values that exist elsewhere and are read when asked for."""

    def __init__(
        self,
        stats: Callable[[], BackendStats],
        active_states: Callable[[], Iterable[str]],
        embeddings: Callable[[], EmbeddingState | None],
    ) -> None:
        self._stats = stats
        self._active_states = active_states
        self._embeddings = embeddings

    def collect(self) -> Iterator[Metric]:
        now = self._stats()
        yield GaugeMetricFamily("orchestrator_answers_running", "Answers decoding.", now.running)
        yield GaugeMetricFamily("orchestrator_queue_length", "Answers waiting.", now.waiting)
        yield GaugeMetricFamily("orchestrator_kv_cells_used", "KV cells in use.", now.kv_cells_used)
        yield GaugeMetricFamily("orchestrator_kv_cells_total", "KV cells there are.", now.kv_cells_total)
        yield GaugeMetricFamily(
            "orchestrator_model_loaded", "1 while the model is in memory.", int(now.loaded)
        )
        yield CounterMetricFamily(
            "orchestrator_engine_restarts", "Times the engine had to be restarted.", now.restarts
        )
        runs = GaugeMetricFamily("orchestrator_runs", "Runs that are not over, by state.", labels=["state"])
        states = Tally(self._active_states())
        for state in ("queued", "running"):
            runs.add_metric([state], states.get(state, 0))
        yield runs
        embeddings = self._embeddings()
        if embeddings is not None:
            passages = GaugeMetricFamily(
                "orchestrator_passages", "Passages that can be searched, by how.", labels=["by"]
            )
            passages.add_metric(["words"], embeddings.passages - embeddings.embedded)
            passages.add_metric(["meaning"], embeddings.embedded)
            yield passages
            yield GaugeMetricFamily(
                "orchestrator_embeddings_failing",
                "1 while no vectors can be made.",
                int(embeddings.problem is not None),
            )
