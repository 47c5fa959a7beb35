"""What training costs, against a plain loop written in the manner of the public code.

    python -m experiments.bench                          # everything, under a quarter of an hour
    python -m experiments.bench --cases agents rats      # some of it
    python -m experiments.bench --device cuda

All sides of a case run in one process in alternating order, after a warm-up; a ratio is taken
within each round and its median reported, so that whatever else the machine does weighs on all
sides alike. Times are those of the process on a CPU, of the clock on a GPU. Trust ratios, not
single absolutes. Writes `bench.json`, `bench.md` and `bench.png` to experiments/results/bench/.
`python -m experiments.peers` measures the public code itself.
"""
