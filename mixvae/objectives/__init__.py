"""Floor 0: the mathematics. Pure functions of tensors; per-sample nats out, no state, no logging."""
