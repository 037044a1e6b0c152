"""Launcher: `python mistral_api_finetune.py --train_file data/train.jsonl`."""

import sys
from pathlib import Path

try:
    from fine_tuning.mistral_cloud.cli import finetune as main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.mistral_cloud.cli import finetune as main

if __name__ == "__main__":
    main()
