"""Floor 0: neural networks with a leading agent axis; shapes in, shapes out, no loss, no config."""
