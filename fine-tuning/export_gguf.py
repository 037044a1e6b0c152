"""Launcher: `python export_gguf.py --model_path outputs/RUN --eval_file val.jsonl`."""

import sys
from pathlib import Path

try:
    from fine_tuning.export.cli import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.export.cli import main

if __name__ == "__main__":
    main()
