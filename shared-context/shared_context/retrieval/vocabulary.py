"""English words that tell numbers and times."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_WORDS = _words(
    """
    double dozen eight eighteen eighty eleven fifteen fifty five forty four fourteen half hundred
    million nine nineteen ninety once percent quarter seven seventeen seventy six sixteen sixty ten
    third thirteen thirty thousand three twelve twenty twice two
    """
)

TIME_WORDS = _words(
    """
    ago april august autumn christmas clock date deadline december easter evening fall february first
    friday january july june last march may midsummer monday month morning next night november o'clock
    october saturday september since spring summer sunday thursday today tomorrow tonight tuesday until
    wednesday week weekend winter year yesterday
    """
)
