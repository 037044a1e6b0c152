"""Launcher: `python train_with_config.py --config configs/base.yaml --lora configs/lora_r16a32.yaml`."""

import sys
from pathlib import Path

try:
    from fine_tuning.training.cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.training.cli import main

if __name__ == "__main__":
    main()
