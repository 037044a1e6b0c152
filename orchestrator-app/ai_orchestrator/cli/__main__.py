"""`python -m ai_orchestrator.cli`: the `orchestrator` command where it is not on the path."""

from ai_orchestrator.cli import main

if __name__ == "__main__":
    main()
