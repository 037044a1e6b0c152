"""The modules of `deployment/setup`, which run before anything is installed and so belong to no package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

SETUP = Path(__file__).resolve().parents[2] / "deployment" / "setup"


def setup_part(name: str) -> ModuleType:
    sys.path.insert(0, str(SETUP))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SETUP))
