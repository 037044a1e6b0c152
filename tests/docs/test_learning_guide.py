"""The commands of docs/learning.md: datasets are built as written; of the others every option exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fine_tuning.evaluation import cli as evaluation_cli
from fine_tuning.evaluation import compare_models
from fine_tuning.mistral_cloud import cli as mistral_cli
from shared_context.conversations.store import ConversationStore

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    line
    for block in re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "docs/learning.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for line in block.replace("\\\n", " ").splitlines()
]
BUILDING = [line for line in LINES if line.startswith("python generate_training_data.py")]
COMMANDS = {
    "eval_em_f1.py": evaluation_cli.main,
    "compare_models.py": compare_models.main,
    "mistral_api_finetune.py": mistral_cli.finetune,
    "mistral_api_inference.py": mistral_cli.inference,
}


@pytest.mark.slow
def test_the_datasets_are_built_and_checked_as_written(tmp_path):
    data = tmp_path / ".local/share/orchestrator"
    (data / "context").mkdir(parents=True)
    (data / "context/SESSION_BRIEFING.md").write_text(
        "## Ovens\n\nThe second oven is to be mended on Monday.\n"
    )
    with ConversationStore.open(data / "memory.db") as store:
        store.create("c")
        store.add_message("c", "user", "Which bread on Monday?")
        store.add_message("c", "assistant", "Rye, with caraway.")
    (tmp_path / "training-data").mkdir()
    (tmp_path / "fine-tuning").symlink_to(ROOT / "fine-tuning")
    script = f"{sys.executable} {ROOT}/training-data/generate_training_data.py"
    assert len(BUILDING) == 3
    for line in BUILDING:
        done = subprocess.run(
            ["bash", "-c", line.replace("python generate_training_data.py", script)],
            cwd=tmp_path / "training-data",
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "tokens of examples" in done.stdout
    assert "Rye, with caraway." in (tmp_path / "training-data/mine.jsonl").read_text()


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.split()[1:2] and line.split()[1] in COMMANDS]
)
def test_every_option_of_a_command_exists(line):
    _, script, *words = shlex.split(line)
    assert (ROOT / "fine-tuning" / script).is_file()
    offered = CliRunner().invoke(COMMANDS[script], ["--help"]).output
    assert [word for word in words if word.startswith("--") and word not in offered] == []
