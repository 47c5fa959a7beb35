"""One file per paper table or figure, and the benchmarks; imports mixvae, is imported by nobody."""
