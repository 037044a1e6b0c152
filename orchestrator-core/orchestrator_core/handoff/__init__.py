"""The end of a session: what it was about, in its own words, for the log and the briefing.

    units.py      a message as sentences, list items and code
    cues.py       the words by which a decision or an open point is recognised
    forms.py      what a sentence is by its form, where no such word tells
    named.py      files, paths, addresses, commands and versions
    credentials.py  what must not be copied into a document
    extract.py    the facts of a session
    entry.py      the log entry made of them
    briefing.py   the updated briefing
    leaving.py    the same for turns that leave the window, within a number of tokens
    wording.py    whether a model's rewording says the same
    rewriting.py  asks the model for one
    session.py    reads what is new, drafts, and stores what the owner confirmed

All but the last two are pure. Nothing here is written by a model unless `wording` has passed it.
"""
