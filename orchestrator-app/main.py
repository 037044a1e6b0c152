"""The chatbot: `python main.py --help`. The code is in `ai_orchestrator.cli.chatbot`."""

from ai_orchestrator.cli.chatbot import main

if __name__ == "__main__":
    main()
