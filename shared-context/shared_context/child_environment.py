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


_INSTALLING = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_")
"""Of pip, which may need them to reach its index."""


def child_environment(more: Mapping[str, str] = {}, *, installs: bool = False) -> dict[str, str]:
    """The environment for a child process: what is passed on of ours, and `more`.

    Args:
        installs: the child is pip.
    """
    prefixes = (*_PREFIXES, *_INSTALLING, *map(str.lower, _INSTALLING)) if installs else _PREFIXES
    passed_on = {
        name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(prefixes)
    }
    return {**passed_on, **more}
