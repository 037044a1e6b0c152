"""A link as a QR code: for a page as SVG, for a terminal as characters."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrcode.main import QRCode

QUIET = 2
"""Light modules around it; the standard's four do not fit terminals, and every reader takes two."""


def svg(text: str) -> str:
    """A whole SVG document, dark on nothing: whoever shows it gives it a light ground."""
    from qrcode.image.svg import SvgPathImage

    image = _code(text).make_image(image_factory=SvgPathImage)
    written = io.BytesIO()
    image.save(written)
    return written.getvalue().decode("utf-8")


def terminal_lines(text: str, *, colour: bool) -> list[str]:
    """Two modules to a character, one above the other.

    Args:
        colour: say which is dark and which is light, so that it can be read whatever the terminal's colours are. Without,
            the terminal is taken for dark.
    """
    rows = _code(text).get_matrix()
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        if colour:
            # Black on white, both named.
            glyphs = "".join(" ▀▄█"[above + 2 * below] for above, below in zip(upper, lower, strict=True))
            lines.append(f"\x1b[38;5;16;48;5;231m{glyphs}\x1b[0m")
        else:
            lines.append(
                "".join("█▄▀ "[above + 2 * below] for above, below in zip(upper, lower, strict=True))
            )
    return lines


def _code(text: str) -> QRCode[Any]:
    from qrcode.constants import ERROR_CORRECT_L
    from qrcode.main import QRCode

    code: QRCode[Any] = QRCode(error_correction=ERROR_CORRECT_L, border=QUIET)
    code.add_data(text)
    code.make(fit=True)
    return code
