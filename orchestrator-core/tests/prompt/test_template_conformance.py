"""Every template of llama.cpp's source package, with every conversation: as transformers renders it, or better."""

from __future__ import annotations

import pytest
from support.fetched import llama_source
from support.template_conformance import compare_all, templates


@pytest.mark.slow
def test_every_prompt_equals_transformers_or_keeps_what_that_loses() -> None:
    sources = templates(llama_source())
    assert len(sources) >= 60
    compared = [comparison for name, source in sources.items() for comparison in compare_all(name, source)]
    unexplained = [(c.template, c.conversation, c.ours) for c in compared if c.differs and not c.reason]
    assert not unexplained
    assert not [(c.template, c.conversation) for c in compared if c.way is None]
    assert sum(c.differs for c in compared) < len(compared) // 5
