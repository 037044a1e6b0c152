"""The demonstration of learning, on a random model that is too small to learn anything."""

import json

import pytest
from click.testing import CliRunner
from learn_demo import main
from support.fetched import llama_source
from support.small_family import save_exportable


@pytest.mark.slow
def test_the_demonstration_trains_asks_exports_and_compares(tmp_path):
    llama_source()
    model = save_exportable(tmp_path / "base", initializer_range=0.3)
    sizes = ["--facts", "1", "--wordings", "1", "--epochs", "1", "--threads", "1", "--no-roll-out"]
    done = CliRunner().invoke(main, ["--folder", str(tmp_path / "demo"), "--model", str(model), *sizes])
    assert done.exit_code == 0, done.output
    results = json.loads(done.output[done.output.rindex('{\n "seconds"') :])
    assert set(results["f1"]) == {"base", "without", "with"}
    for asked in results["f1"].values():
        assert set(asked) == {"all", "continuity", "handoff", "architecture", "practice"}
    written = {path.name for path in (tmp_path / "demo").rglob("*.gguf")}
    assert len(written) >= 3
