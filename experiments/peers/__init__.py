"""Ours against the peers' own code, in one process and alternating.

    git clone https://github.com/AllenInstitute/MMIDAS /tmp/mmidas        # see checkouts.py for all
    python -m experiments.peers --mmidas /tmp/mmidas --hippocampal /tmp/rats --joint-vae /tmp/joint
    pip install scvi-tools multivae                                       # measured where installed

A checkout is a folder that you name, a clone or an unpacked archive; its files must be those that
the comparison was written for. Peers that are absent are named and left out; `experiments.bench`
has loops in their manner. The measuring is that of `experiments.bench`: ratios within each round,
by the process's time and by the clock. Writes `peers.json`, `peers.md` and `peers.png` to
experiments/results/peers/. The peers' code runs in this process: name only code that you trust.
"""
