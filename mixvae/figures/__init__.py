"""Pictures of a run: pure functions from arrays to matplotlib figures, without files or state."""
