"""The cache of deterministic answers: bounded, least recently used first out."""

from orchestrator_core.backend import BackendDescription
from orchestrator_core.generation import GenerationConfig
from orchestrator_http.completions.response_cache import ResponseCache, cache_key, model_identity

MODEL = BackendDescription("scripted", "m", 100)


def test_what_was_put_is_found_and_nothing_else():
    cache = ResponseCache()
    cache.put("a", {"response": "🦜"})
    assert cache.get("a") == {"response": "🦜"}
    assert cache.get("b") is None


def test_the_least_recently_used_goes_first():
    cache = ResponseCache(max_entries=2)
    cache.put("a", {})
    cache.put("b", {})
    cache.get("a")
    cache.put("c", {})
    assert cache.get("b") is None
    assert cache.get("a") == {} and cache.get("c") == {}


def test_size_is_bounded_too():
    cache = ResponseCache(max_bytes=100)
    for name in "abcdef":
        cache.put(name, {"response": "x" * 30})
    assert len(cache) == 2
    cache.put("big", {"response": "x" * 1000})
    assert cache.get("big") is None and len(cache) == 2


def test_replacing_an_entry_does_not_leak_its_size():
    cache = ResponseCache(max_bytes=100)
    for _ in range(50):
        cache.put("a", {"response": "x" * 30})
    cache.put("b", {"response": "x" * 30})
    assert len(cache) == 2


def test_only_deterministic_requests_have_a_key():
    assert cache_key("p", GenerationConfig(temperature=0.7), MODEL) is None
    assert cache_key("p", GenerationConfig(temperature=0.0), MODEL) is not None
    assert cache_key("p", GenerationConfig(seed=1), MODEL) is not None


def test_everything_that_changes_the_answer_changes_the_key():
    base = cache_key("p", GenerationConfig(seed=1), MODEL)
    others = [
        cache_key("q", GenerationConfig(seed=1), MODEL),
        cache_key("p", GenerationConfig(seed=2), MODEL),
        cache_key("p", GenerationConfig(seed=1, stop=["x"]), MODEL),
        cache_key("p", GenerationConfig(seed=1), BackendDescription("scripted", "n", 100)),
        cache_key("p", GenerationConfig(seed=1), BackendDescription("scripted", "m", 100, adapter="a")),
    ]
    assert len({base, *others}) == 6


def test_another_model_finds_nothing_of_the_former(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"one")
    cache = ResponseCache()
    cache.keep_for(model_identity(MODEL, str(file)))
    cache.put("a", {})
    cache.keep_for(model_identity(MODEL, str(file)))
    assert len(cache) == 1
    file.write_bytes(b"other")
    cache.keep_for(model_identity(MODEL, str(file)))
    assert len(cache) == 0
    cache.put("a", {})
    cache.keep_for(model_identity(BackendDescription("scripted", "n", 100), str(file)))
    assert cache.get("a") is None
    assert model_identity(MODEL, "not/a/file") != model_identity(MODEL, str(file))
