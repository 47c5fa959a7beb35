"""Floor 3: the only room that knows Hydra and W&B: compose, check, build, run, record."""
