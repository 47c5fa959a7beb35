"""Neural networks, most with a leading agent axis: shapes in, shapes out.

Nothing here computes a loss or reads a config. Imports PyTorch alone.
"""
