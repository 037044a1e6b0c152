"""`python -m fine_tuning.export.quantise SOURCE FTYPE THREADS TARGET`: llama.cpp's quantiser in a process of its own."""

from __future__ import annotations

import sys


def main() -> int:
    """Quantise as the arguments say; 0 when it was done."""
    import llama_cpp

    source, kind, threads, target = sys.argv[1:]
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, kind)
    parameters.nthread = int(threads)
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), parameters))


if __name__ == "__main__":
    sys.exit(main())
