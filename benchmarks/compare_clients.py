"""Other people's clients against this server: the table in docs/compatibility.md.

Each client is installed into an environment of its own, which is thrown away, and runs one probe of
`tests/clients`. Needs the package indexes; JavaScript's clients need node and npm. Run: python benchmarks/compare_clients.py
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from support.client_server import answering  # noqa: E402
from support.command_line import COMMAND, fresh_user  # noqa: E402
from support.mcp_clients import listening as mcp_listening  # noqa: E402

DOCUMENT = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"
PROBES = [
    ("probe_openai.py", ["openai"]),
    ("probe_anthropic.py", ["anthropic"]),
    ("probe_ollama.py", ["ollama"]),
    ("probe_langchain.py", ["langchain-openai", "langchain-anthropic", "langchain-ollama"]),
    ("probe_litellm.py", ["litellm"]),
    ("probe_instructor.py", ["instructor"]),
    ("probe_llama_index.py", ["llama-index-llms-openai-like", "llama-index-llms-ollama"]),
    ("probe_commands.py", ["llm"]),
    ("probe_commands.py", ["aider-chat"]),
]

INSPECTOR = "@modelcontextprotocol/inspector"
INSPECTIONS = [
    ("tools", ["tools/list"]),
    ("resources", ["resources/list"]),
    ("templates", ["resources/templates/list"]),
    ("prompts", ["prompts/list"]),
    ("a call", ["tools/call", "--tool-name", "append_log", "--tool-arg", "text=Painted."]),
    ("a resource", ["resources/read", "--uri", "orchestrator://context/SESSION_LOG.md"]),
    ("an unknown tool refused", ["tools/call", "--tool-name", "nothing"]),
    (
        "a wrong argument refused",
        ["tools/call", "--tool-name", "read_document", "--tool-arg", "name=NONE.md"],
    ),
]


def main() -> None:
    rows: list[tuple[str, str, list[dict[str, str]]]] = []
    with tempfile.TemporaryDirectory() as folder, answering(Path(folder) / "data") as server:
        for probe, packages in PROBES:
            told, versions = python_probe(Path(folder) / packages[0], probe, packages, server.url)
            rows.append((f"Python: {', '.join(packages)}", versions, told))
            report(rows[-1])
        for client, told in javascript(Path(folder) / "javascript", server.url).items():
            rows.append((f"JavaScript: {client}", "", told))
            report(rows[-1])
        for transport in ("stdio", "http"):
            rows.append(inspected(Path(folder) / f"inspector-{transport}", transport))
            report(rows[-1])
    write(rows)


def python_probe(place: Path, probe: str, packages: list[str], url: str) -> tuple[list[dict[str, str]], str]:
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        reason = (installed.stderr.strip().splitlines() or ["?"])[-1]
        return [{"what": "installing", "ok": "", "detail": reason[:200]}], ""
    script = ROOT / "tests" / "clients" / "python" / probe
    told = lines_of([python, script], ROOT, url)
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    )
    known = {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(listing.stdout)}
    shutil.rmtree(place)
    return told, ", ".join(known.get(package, "?") for package in packages)


def javascript(place: Path, url: str) -> dict[str, list[dict[str, str]]]:
    shutil.copytree(
        ROOT / "tests" / "clients" / "javascript", place, ignore=shutil.ignore_patterns("node_modules")
    )
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=place, check=True)
    found: dict[str, list[dict[str, str]]] = {}
    for one in lines_of(["node", "run.mjs"], place, url):
        found.setdefault(one["client"], []).append(one)
    return found


def inspected(place: Path, transport: str) -> tuple[str, str, list[dict[str, str]]]:
    """The MCP inspector's command line against `orchestrator mcp` with a memory of its own."""
    place.mkdir()
    env = fresh_user(place)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", INSPECTOR]
    subprocess.run(install, cwd=place, check=True)
    manifest = json.loads((place / "node_modules" / INSPECTOR / "package.json").read_text())
    with mcp_listening(env) if transport == "http" else nullcontext() as url:
        server = [str(url), "--transport", "http"] if url else [*COMMAND, "mcp"]
        told = [inspection(place, env, server, what, arguments) for what, arguments in INSPECTIONS]
    return f"MCP inspector: {transport}", manifest["version"], told


def inspection(
    place: Path, env: dict[str, str], server: list[str], what: str, arguments: list[str]
) -> dict[str, str]:
    command = ["node_modules/.bin/mcp-inspector", "--cli", *server, "--method", *arguments]
    finished = subprocess.run(
        command, cwd=place, env={**env, "PATH": os.environ["PATH"]}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    answer = json.loads(finished.stdout) if finished.stdout.startswith("{") else {}
    ok = bool(answer) and answer.get("isError", False) == ("refused" in what)
    detail = "" if ok else (finished.stderr or finished.stdout).strip()[-200:]
    return {"what": what, "ok": "yes" if ok else "", "detail": detail}


def lines_of(command: list[object], place: Path, url: str) -> list[dict[str, str]]:
    """What a probe said; that it failed when it said nothing."""
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=place,
        env={**os.environ, "ORCHESTRATOR_URL": url},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    failed = {"what": "starting", "ok": "", "detail": (finished.stderr.strip() or "?")[-200:]}
    return lines or [failed]


def report(row: tuple[str, str, list[dict[str, str]]]) -> None:
    name, versions, told = row
    print(name, versions, f"{sum(bool(one['ok']) for one in told)}/{len(told)}", flush=True)
    for one in told:
        if not one["ok"]:
            print("   ", one["what"], one["detail"], flush=True)


def write(rows: list[tuple[str, str, list[dict[str, str]]]]) -> None:
    lines = [
        f"{datetime.date.today()}, server {importlib.metadata.version('orchestrator')}.",
        "",
        "| client | version | works | does not |",
        "|---|---|---|---|",
    ]
    for name, versions, told in rows:
        works = ", ".join(one["what"].replace(",", "") for one in told if one["ok"])
        fails = "; ".join(f"{one['what']}: {cell(one['detail'])}" for one in told if not one["ok"])
        lines.append(f"| {name} | {versions or 'as in package.json'} | {works} | {fails} |")
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN, 1)
    DOCUMENT.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}" + rest.split(END, 1)[1])


def cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:160]


if __name__ == "__main__":
    main()
