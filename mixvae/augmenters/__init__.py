"""Type-preserving copies of samples, a fresh draw for each agent, on the device of x.

An augmenter is called as `augmenter(x, num_agents, log_q)` with x of shape (B, *shape) and `log_q`,
the agents' log q(c|x) as a function of copies (A, B, *shape); it returns copies (A, B, *shape).
"""
