"""From words to a checked config: composing, requests, errors, trust. Imports no PyTorch.

Nothing here builds, trains or writes a run.
"""
