"""Launcher: `python compare_models.py --base_model base.gguf --fine_tuned_model ./outputs/run --prompts "Hello"`."""

import sys
from pathlib import Path

try:
    from fine_tuning.evaluation.compare_models import main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.evaluation.compare_models import main

if __name__ == "__main__":
    main()
