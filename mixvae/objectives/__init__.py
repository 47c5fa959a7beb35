"""Floor 0: pure functions of tensors; per-sample nats out, no state, no logging."""
