"""Training and trained runs from Python, without side effects; `mixvae.train` and `open_run`."""
