"""Launcher: `python train_mistral_qlora.py --data_path ../training-data/continuity_dataset.json`."""

import sys
from pathlib import Path

try:
    from fine_tuning.training.cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.training.cli import main

if __name__ == "__main__":
    main()
