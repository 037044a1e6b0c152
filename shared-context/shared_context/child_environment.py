"""The environment of the processes we start: what they need, and none of the owner's secrets.

A list of what is passed on, not of what is kept back: nobody can name every variable that holds a
credential.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_SYSTEM = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT", "XDG_CACHE_HOME")
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")
_NAMES = frozenset({*_SYSTEM, *_LIBRARIES})

_INTERPRETER = ("LC_", "PYTHON", "MALLOC_")
_THREADS = ("OMP_", "GOMP_", "KMP_")
_MODELS = ("GGML_", "LLAMA_")
_NVIDIA, _AMD = ("CUDA_", "NVIDIA_"), ("HIP_", "HSA_", "ROCR_", "GPU_")
_VULKAN, _INTEL = ("VK_",), ("ONEAPI_", "SYCL_", "ZES_")
_PREFIXES = (*_INTERPRETER, *_THREADS, *_MODELS, *_NVIDIA, *_AMD, *_VULKAN, *_INTEL)

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
