"""Launcher: `python release_tiny.py runs/tiny`."""

import sys
from pathlib import Path

try:
    from fine_tuning.tiny.release_cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.tiny.release_cli import main

if __name__ == "__main__":
    main()
