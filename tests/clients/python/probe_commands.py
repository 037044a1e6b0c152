"""`llm` and `aider`, as people type them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from probing import KEY, TEXT, URL, tell

BIN = Path(sys.executable).parent


def said(command, **variables):
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HOME": folder, "LLM_USER_PATH": folder, **variables}
        models = f"- model_id: here\n  model_name: m\n  api_base: {URL}/v1\n  api_key_name: here\n"
        (Path(folder) / "extra-openai-models.yaml").write_text(models)
        finished = subprocess.run(
            command,
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
    if TEXT not in finished.stdout:
        raise AssertionError((finished.stdout + finished.stderr)[-300:])


def llm(*more):
    return lambda: said([BIN / "llm", "-m", "here", "--key", KEY, *more, "Hi"])


def aider():
    model = ["--model", "openai/m", "--openai-api-base", f"{URL}/v1", "--openai-api-key", KEY]
    quiet = [
        "--no-git",
        "--no-show-model-warnings",
        "--no-check-update",
        "--analytics-disable",
        "--yes-always",
    ]
    said([BIN / "aider", *model, *quiet, "--message", "Hi"])


if shutil.which(str(BIN / "llm")):
    tell("llm", {"prompt, streamed": llm(), "prompt": llm("--no-stream")})
if shutil.which(str(BIN / "aider")):
    tell("aider", {"a message": aider})
