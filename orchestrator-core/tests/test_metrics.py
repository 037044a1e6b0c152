"""What Prometheus is told."""

from orchestrator_core.backend import BackendStats
from orchestrator_core.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families
from shared_context.retrieval.embedding import EmbeddingState


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples
    }


def test_load_is_read_at_the_moment_of_scraping():
    now = [BackendStats()]
    metrics = Metrics(lambda: now[0], lambda: ["running", "running", "queued"])
    now[0] = BackendStats(running=1, waiting=2, kv_cells_used=3, kv_cells_total=4, restarts=5)
    found = samples(metrics)
    assert found["orchestrator_queue_length",] == 2
    assert found["orchestrator_kv_cells_used",] == 3
    assert found["orchestrator_kv_cells_total",] == 4
    assert found["orchestrator_engine_restarts_total",] == 5
    assert found["orchestrator_runs", "running"] == 2
    assert found["orchestrator_runs", "queued"] == 1


def test_how_far_embeddings_are_is_told_where_there_are_some():
    assert ("orchestrator_passages", "words") not in samples(Metrics(BackendStats, list))
    state = EmbeddingState("minilm.gguf", passages=10, embedded=7, problem="It is gone.")
    found = samples(Metrics(BackendStats, list, lambda: state))
    assert found["orchestrator_passages", "meaning"] == 7
    assert found["orchestrator_passages", "words"] == 3
    assert found["orchestrator_embeddings_failing",] == 1


def test_two_servers_in_one_process_do_not_mix():
    first, second = (Metrics(BackendStats, list) for _ in range(2))
    first.cached_tokens.inc(7)
    assert samples(first)["orchestrator_cached_tokens_total",] == 7
    assert samples(second)["orchestrator_cached_tokens_total",] == 0
