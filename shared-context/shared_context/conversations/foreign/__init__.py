"""Conversations that other programs kept, read so that they can be imported.

    conversation.py  what is read of one, and how it becomes an import
    formats.py       which program wrote a file
    chatgpt.py, claude.py, open_webui.py, agent_sessions.py, llm_logs.py  how each of them writes

Nothing here stores anything: `transfer.import_conversation` does, and importing twice changes nothing.
"""
