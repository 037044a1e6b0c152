"""Runs in a child process: opens a GGUF file, or decodes with it. Native code that crashes
takes only the child with it. `python -m ai_orchestrator.doctor.prove decode|open FILE`

Prints one JSON object: what was seen, or `message` and `hint` of what is wrong with the file. The installation
proves a build with it, too.
"""

from __future__ import annotations

import json
import math
import sys
import time

PROMPT_TOKENS = 128
STEPS = 16


def open_model(path: str) -> dict[str, object]:
    """What the file's header and vocabulary say; the weights are not read.

    Raises:
        ModelUnusable: llama.cpp refuses the file.
    """
    import llama_cpp
    from orchestrator_core.engine.native import error_lines, unusable_file

    with error_lines() as reasons:
        try:
            llm = llama_cpp.Llama(path, vocab_only=True, verbose=True)
        except ValueError:
            raise unusable_file(path, reasons) from None
    try:
        kind = llm.metadata.get("general.architecture")
        trained = llm.metadata.get(f"{kind}.context_length")
        # Encoders such as BERT see what comes after a token, too.
        reads_only = llm.metadata.get(f"{kind}.attention.causal") == "false"
        return {"context_length": int(trained) if trained else None, "reads_only": reads_only}
    finally:
        llm.close()


def decode(path: str) -> dict[str, object]:
    """Prefill and greedy steps whose logits must be finite.

    Raises:
        ArithmeticError: they are not.
    """
    import llama_cpp

    llm = llama_cpp.Llama(path, n_ctx=256, n_batch=PROMPT_TOKENS, n_gpu_layers=0, verbose=False)
    try:
        vocabulary = llm.n_vocab()
        tokens = [1 + (7 * index) % (vocabulary - 1) for index in range(PROMPT_TOKENS)]
        llm.eval(tokens)
        begun = time.monotonic()
        for _ in range(STEPS):
            logits = llama_cpp.llama_get_logits(llm.ctx)
            row = [logits[index] for index in range(vocabulary)]
            if not all(map(math.isfinite, row)):
                raise ArithmeticError("the logits are not finite numbers")
            llm.eval([max(range(vocabulary), key=row.__getitem__)])
        speed = STEPS / max(time.monotonic() - begun, 1e-6)
    finally:
        llm.close()
    return {"tokens_per_s": speed, "gpu_offload": bool(llama_cpp.llama_supports_gpu_offload())}


if __name__ == "__main__":
    from orchestrator_core.errors import ModelUnusable

    action, file = sys.argv[1:]
    try:
        seen = decode(file) if action == "decode" else open_model(file)
    except ModelUnusable as error:
        seen = {"message": error.message, "hint": error.hint}
    json.dump(seen, sys.stdout)
