"""Which llama.cpp builds are tried, in which order, and that a bad one is passed over."""

import json
from pathlib import Path

import pytest
from support.setup_modules import setup_part

AVX2 = frozenset({"avx2", "fma", "f16c"})


@pytest.fixture
def engine():
    return setup_part("engine")


def names(engine, **machine):
    return [build.name for build in engine.candidates(engine.Machine(**machine))]


def test_the_fastest_build_comes_first(engine):
    assert names(engine, arch="x86_64", flags=AVX2) == ["native", "portable", "baseline"]


def test_an_old_processor_is_not_offered_avx2(engine):
    assert names(engine, arch="x86_64", flags=frozenset({"sse4_2"})) == ["native", "baseline"]


def test_arm_needs_no_x86_baseline(engine):
    assert names(engine, arch="aarch64", flags=frozenset()) == ["native", "portable"]


def test_a_cuda_machine_tries_cuda_first(engine):
    assert names(engine, arch="x86_64", flags=AVX2, cuda=True)[0] == "cuda"


def test_no_x86_build_contains_amx(engine):
    for build in engine.candidates(engine.Machine("x86_64", AVX2, cuda=True)):
        native = "-DGGML_NATIVE=ON" in build.cmake
        assert native == any("-mno-amx" in argument for argument in build.cmake)


def test_a_native_wheel_is_not_reused_on_another_processor(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build = engine.candidates(engine.Machine("x86_64", AVX2))[0]
    here = engine._wheel_folder(build, engine.Machine("x86_64", AVX2))
    there = engine._wheel_folder(build, engine.Machine("x86_64", AVX2 | {"avx512f"}))
    assert here != there


@pytest.fixture
def effects(engine, monkeypatch, tmp_path):
    """The machine's side of `ensure`: builds named in `crashing` die when they prove themselves."""

    class Effects:
        crashing: set[str] = set()
        installed: list[str] = []

    effects = Effects()
    effects.crashing, effects.installed = set(), []
    monkeypatch.delenv("ENGINE_BUILD", raising=False)
    monkeypatch.setattr(engine, "inspect_machine", lambda: engine.Machine("x86_64", AVX2))
    monkeypatch.setattr(engine, "_cached_wheel", lambda build, machine: Path(build.name))
    monkeypatch.setattr(engine, "_install", lambda wheel, venv, root: effects.installed.append(wheel.name))
    monkeypatch.setattr(
        engine,
        "_prove",
        lambda venv, model: "crashed with signal 11" if effects.installed[-1] in effects.crashing else None,
    )
    builtin = tmp_path / "fine-tuning" / "builtin"
    builtin.mkdir(parents=True)
    (builtin / "tiny.gguf").touch()
    return effects


def test_without_the_builtin_model_nothing_is_compiled(engine, effects, tmp_path):
    (tmp_path / "fine-tuning/builtin/tiny.gguf").unlink()
    with pytest.raises(Exception, match="built-in model is missing"):
        engine.ensure(tmp_path, tmp_path)
    assert effects.installed == []


def test_without_a_compiler_the_error_says_how_to_get_one(engine, effects, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_cached_wheel", lambda build, machine: None)
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    with pytest.raises(Exception, match="no C\\+\\+ compiler") as caught:
        engine.ensure(tmp_path, tmp_path)
    assert "build-essential" in caught.value.hint


def test_a_build_that_crashes_is_replaced_and_the_reason_kept(engine, effects, tmp_path, capsys):
    effects.crashing = {"native"}
    engine.ensure(tmp_path, tmp_path)
    assert effects.installed == ["native", "portable"]
    record = json.loads((tmp_path / "engine.json").read_text())
    assert (record["build"], record["rejected"]) == ("portable", ["native: crashed with signal 11"])
    assert "crashed with signal 11" in capsys.readouterr().out


def test_a_proven_build_is_not_tried_again(engine, effects, tmp_path):
    engine.ensure(tmp_path, tmp_path)
    engine.ensure(tmp_path, tmp_path)
    assert effects.installed == ["native"]


def test_when_nothing_works_the_error_names_every_reason(engine, effects, tmp_path):
    effects.crashing = {"native", "portable", "baseline"}
    with pytest.raises(Exception, match="native: crashed.*portable: crashed.*baseline: crashed"):
        engine.ensure(tmp_path, tmp_path)
    assert not (tmp_path / "engine.json").exists()


def test_an_unknown_build_name_is_refused(engine, effects, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_BUILD", "fastest")
    with pytest.raises(Exception, match="'fastest' is not a build"):
        engine.ensure(tmp_path, tmp_path)


def test_a_wheel_that_was_given_is_tried_before_compiling(engine, effects, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_cached_wheel", lambda build, machine: None)
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    wheel = tmp_path / f"llama_cpp_python-{engine.VERSION}-py3-none-any.whl"
    wheel.touch()
    engine.ensure(tmp_path, tmp_path, wheelhouse=tmp_path)
    assert effects.installed == [wheel.name]
    assert json.loads((tmp_path / "engine.json").read_text())["build"] == "ready-made"


def test_a_given_wheel_that_crashes_is_replaced_by_one_built_here(engine, effects, tmp_path):
    wheel = tmp_path / f"llama_cpp_python-{engine.VERSION}-py3-none-any.whl"
    wheel.touch()
    effects.crashing = {wheel.name}
    engine.ensure(tmp_path, tmp_path, wheelhouse=tmp_path)
    assert effects.installed == [wheel.name, "native"]


def test_without_gpu_the_cuda_build_is_not_tried(engine, effects, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "inspect_machine", lambda: engine.Machine("x86_64", AVX2, cuda=True))
    engine.ensure(tmp_path, tmp_path, gpu=False)
    assert effects.installed == ["native"]
