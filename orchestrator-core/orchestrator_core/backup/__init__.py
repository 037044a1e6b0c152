"""Backups of a data folder: made while a server runs, verified before anything is replaced.

`contents` decides what belongs in one, `snapshot` copies it true to one moment, `archive` is the
format, `making` and `restoring` are the two commands.
"""
