"""Launcher: `python eval_em_f1.py --model_path model.gguf --eval_file val.jsonl`."""

import sys
from pathlib import Path

try:
    from fine_tuning.evaluation.cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.evaluation.cli import main

if __name__ == "__main__":
    main()
