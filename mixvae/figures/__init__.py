"""Pure functions from arrays to matplotlib figures.

Nothing here reads or writes files, logs, or keeps state.
"""
