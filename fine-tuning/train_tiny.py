"""Launcher: `python train_tiny.py --output-dir runs/tiny`."""

import sys
from pathlib import Path

try:
    from fine_tuning.tiny.training_cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.tiny.training_cli import main

if __name__ == "__main__":
    main()
