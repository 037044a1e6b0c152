"""Run by the environment's Python: prefill and decode with a real model, or die trying.

Usage: prove.py MODEL.gguf. Exit 0 when a 128-token prefill and 16 greedy steps gave
finite logits; a crash of the native code is seen by the parent as a signal.
"""

from __future__ import annotations

import math
import sys

import llama_cpp

PROMPT_TOKENS = 128
STEPS = 16


def main(model: str) -> None:
    llm = llama_cpp.Llama(model, n_ctx=256, n_batch=PROMPT_TOKENS, logits_all=False, verbose=False)
    try:
        vocabulary = llm.n_vocab()
        tokens = [1 + (7 * index) % (vocabulary - 1) for index in range(PROMPT_TOKENS)]
        for _ in range(STEPS):
            llm.eval(tokens)
            logits = llama_cpp.llama_get_logits(llm.ctx)
            row = [logits[index] for index in range(vocabulary)]
            if not all(map(math.isfinite, row)):
                sys.exit("the logits are not finite numbers")
            tokens = [max(range(vocabulary), key=row.__getitem__)]
    finally:
        llm.close()


if __name__ == "__main__":
    main(sys.argv[1])
