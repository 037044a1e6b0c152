"""Thinking: how a question becomes an answer.

Nothing here imports a tier. Heavy libraries (torch, transformers, llama_cpp) are
imported only inside the one module that needs them, and only when it is used.
"""
