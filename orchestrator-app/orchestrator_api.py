"""The desktop server: `python orchestrator_api.py --host 127.0.0.1 --port 5000`.

The same as `orchestrator serve`; the code is in `ai_orchestrator.server`.
"""

import sys

from ai_orchestrator.cli import run
from ai_orchestrator.cli.serve import serve

if __name__ == "__main__":
    sys.exit(run(serve, prog_name="orchestrator_api.py"))
