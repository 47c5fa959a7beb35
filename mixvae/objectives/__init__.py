"""Pure functions of tensors: the mathematics of each paper, per-sample nats out.

Nothing here keeps state, logs or counts steps. Imports PyTorch alone.
"""
