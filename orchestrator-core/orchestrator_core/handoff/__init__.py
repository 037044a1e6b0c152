"""The end of a session: what it leaves behind, with proof, for the log and the handoff documents.

    item.py            what a session leaves behind: kind, text, quote
    sentences.py       a message as sentences, list items and boxes
    markers.py, .yaml  the words that say themselves what a sentence is, per language
    extract.py         the items that are known without a model
    proposals.py       the items that a model proposes: quote or drop
    proposer.py        asks the model, ahead of time where it can
    credentials.py     what must not be copied into a document
    entry.py           the log entry made of items
    item_line.py       an item as a line of a document
    placement.py       where items go in the documents, how they are closed and superseded
    session.py         reads what is new, drafts, and stores what the owner confirmed
    memory.py          lists, edits, settles and forgets the items of the documents
    history_summary.py turns that left the prompt's window, in their own words

All but `proposer`, `session` and `memory` are pure.
"""
