"""`python -m fine_tuning.tiny.converter SCRIPT FOLDER …`: llama.cpp's converter, for the built-in model.

The converter recognises how a tokenizer cuts words by a hash of what it makes of a sample text. The built-in
model's tokenizer is trained with the model, so its hash is in no list; how it cuts is known (`tokenizer.py`).
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

PRE_TOKENIZER = "gpt-2"


def main() -> None:
    """Run the converter `sys.argv[1]` with the arguments that follow it."""
    script = Path(sys.argv[1])
    sys.path.insert(0, str(script.parent))
    from conversion.base import TextModel  # type: ignore[import-not-found]  # llama.cpp's source

    TextModel.get_vocab_base_pre = lambda *_: PRE_TOKENIZER
    sys.argv = sys.argv[1:]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
