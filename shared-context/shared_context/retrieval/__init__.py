"""Finding what was said and written before: messages, log entries, sections of documents.

`passages` cuts texts into what can be found, `question` reads what is wanted from a question
and the conversation around it, `index` looks words up with SQLite's FTS5, `scoring` weighs what
came back, `fusion` joins rankings, `recall` puts them together over the memory.
"""
