"""Launcher: `python generate_training_data.py --output continuity_dataset.json`."""

import sys
from pathlib import Path

try:
    from training_data.cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from training_data.cli import main

if __name__ == "__main__":
    main()
