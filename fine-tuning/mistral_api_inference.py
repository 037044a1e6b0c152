"""Launcher: `python mistral_api_inference.py --fine_tuned_model ft --prompts Hello`."""

import sys
from pathlib import Path

try:
    from fine_tuning.mistral_cloud.cli import inference as main
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from fine_tuning.mistral_cloud.cli import inference as main

if __name__ == "__main__":
    main()
