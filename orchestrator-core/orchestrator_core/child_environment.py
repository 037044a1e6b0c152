"""The environment of the processes we start: what they need, and none of the owner's secrets.

A list of what is passed on, not of what is kept back: nobody can name every variable that holds a
credential.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT", "XDG_CACHE_HOME"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"}
)
_PREFIXES = (
    *("LC_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_"),
    *(
        "GGML_",
        "LLAMA_",
        "CUDA_",
        "NVIDIA_",
        "HIP_",
        "HSA_",
        "ROCR_",
        "GPU_",
        "VK_",
        "ONEAPI_",
        "SYCL_",
        "ZES_",
    ),
)
"""Of the interpreter, and of the libraries that compute."""


def child_environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """The environment for a child process: what is passed on of ours, and `more`."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_PREFIXES)
    }
    return {**passed_on, **more}
