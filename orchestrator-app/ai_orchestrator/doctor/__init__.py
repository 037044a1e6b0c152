"""`orchestrator doctor`: what works on this machine, what does not, and what to do.

`probes` look at the machine and take a `snapshot`; `checks` judge it. The judgements are
pure, so that every verdict is tested without the machine it is about.
"""

from __future__ import annotations

from ai_orchestrator.doctor.checks import Finding, Verdict, judge

__all__ = ["Finding", "Verdict", "judge"]
