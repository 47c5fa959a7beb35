"""A simulator of the five rats' recordings: odour-tuned Poisson neurons under private nuisances."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixvae.data.checks import check_count, check_seed
from mixvae.data.modalities.rat_files import BIN_SECONDS, ENTRY_BIN, Private, Recording, write_rat
from mixvae.files import replacing

NUM_ODOURS = 5
WEAK = 0.2  # response to an odour that the rat does not attend to


class Rat(NamedTuple):
    """The traits of one rat's recording."""

    num_neurons: int
    num_trials: int
    tuning: float
    """Standard deviation of a neuron's log-rates over odours."""
    attention: float
    """Share of trials in which the rat attends to the odour."""
    skill: float
    """Probability of a correct response."""


RATS = {
    "barat": Rat(92, 232, 0.60, 0.80, 0.88),
    "buchanan": Rat(79, 258, 0.60, 0.86, 0.90),
    "mitt": Rat(104, 268, 0.60, 0.72, 0.92),
    "stella": Rat(49, 221, 0.60, 0.53, 0.86),
    "superchris": Rat(46, 245, 0.60, 0.62, 0.90),
}
"""Neurons as recorded, and superchris' trials; the other figures are ours."""


@dataclass(frozen=True)
class RatSimulator:
    """Makes recordings of spikes around port entry, as the files of Dryad hold them.

    Common to the rats are the odour, and the course of the response to it after port entry.
    Each neuron has a log-rate of its own for every odour. A rat attends to the odour in a share of
    its trials only, and in the others its neurons hardly respond: rats differ in this share, in
    numbers of neurons and trials, and in skill. Private to each rat are the strongest movements of
    a population of hippocampal neurons in a window of 100 ms:

    - theta: an oscillation, of 8 Hz by default, in a phase that is new in every trial, to which
      each neuron is locked at a phase of its own. It turns population activity round a circle,
      which is two dimensions of variance;
    - gain: the excitability of the whole population in a trial;
    - state: such as speed or arousal, which excites some neurons and inhibits others, slowly
      varying over trials;
    - drift: each neuron's rate changes in the course of the session;
    - walk: a random walk of the population in each trial, of variance 1 at its first bin and 1
      more every second. The rats of the published task have none.

    So a two-dimensional code of one rat alone has better uses than the odour, while a code that
    rats must agree on has no other. A classifier that sees labels is not misled by nuisances of
    few dimensions: it only fails on trials without attention.

    A recording has the theta phase, the gain and the state as its private part, by which an
    evaluation measures what a latent keeps of one rat alone; those of strength 0 are left out.

    An incorrect response ends the sequence, as in the task, and half of the sequences have one
    odour out of its place.

    The recordings are a function of the settings alone, and a rat's own does not depend on which
    others are simulated.

    Attributes:
        tuning: Factor of the rats' tuning to odours; 0 leaves nothing to decode.
        rate: Median of the neurons' rates without any modulation, Hz, above 0.
        num_neurons: Neurons of each rat, in the order of `RATS`; None: as recorded.
        theta: Modulation of log-rates by the oscillation, standard deviation over neurons.
        frequency: Frequency of the oscillation, Hz, above 0; a trial's differs by up to 0.5 Hz.
        gain: Standard deviation of the population's log-gain over trials.
        state: Standard deviation of the neurons' loadings on the slow state.
        drift: Standard deviation over neurons of the change of log-rate over a session.
        walk: Standard deviation of the neurons' loadings on the walk.
        num_trials: Trials of every rat; None gives each its own number.
        num_bins: Bins of 10 ms of a trial, port entry being at bin 200.
    """

    seed: int = 0
    tuning: float = 1.0
    theta: float = 0.8
    gain: float = 0.25
    state: float = 0.3
    drift: float = 0.2
    num_trials: int | None = None
    num_bins: int = 400
    rate: float = 6.0
    frequency: float = 8.0
    walk: float = 0.0
    num_neurons: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("tuning", "theta", "gain", "state", "drift", "walk", "rate", "frequency"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"simulator.{name} is {value!r}; it must be a number, 0 or more")
            if name in ("rate", "frequency") and value == 0:
                raise ValueError(f"simulator.{name} is {value!r}; it must be above 0")
        if self.num_neurons is not None:
            if len(self.num_neurons) != len(RATS):
                raise ValueError(
                    f"simulator.num_neurons has {len(self.num_neurons)} numbers; it needs one for"
                    f" each of {', '.join(RATS)}"
                )
            for count in self.num_neurons:
                check_count("simulator.num_neurons", count)
        if self.num_trials is not None:
            check_count("simulator.num_trials", self.num_trials)
        check_count("simulator.num_bins", self.num_bins)

    def traits_of(self, rat: str) -> Rat:
        """The traits of one of `RATS`, with this simulator's number of neurons."""
        if self.num_neurons is None:
            return RATS[rat]
        return RATS[rat]._replace(num_neurons=self.num_neurons[list(RATS).index(rat)])

    def record(self, rat: str) -> Recording:
        """Simulate the session of one of `RATS`: spikes, uint8, and its table of trials, int64."""
        traits = self.traits_of(rat)
        generator = np.random.default_rng([self.seed, zlib.crc32(rat.encode())])
        num_trials = traits.num_trials if self.num_trials is None else self.num_trials
        trials = _trials(num_trials, traits.skill, generator)
        log_rates, private = self._log_rates(traits, trials[:, 3] - 1, generator)
        expected = np.exp(log_rates, out=log_rates)
        expected *= BIN_SECONDS
        np.minimum(expected, 2.0, out=expected)  # no neuron fires above 200 Hz
        spikes = generator.poisson(expected).astype(np.uint8)
        return Recording(rat, spikes, trials, "simulated", private)

    def _log_rates(
        self, traits: Rat, odours: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, Private]:
        """Log of each neuron's rate in Hz, (trials, neurons, bins), float32; what moves it."""
        num_trials, num_neurons = len(odours), traits.num_neurons
        seconds = (np.arange(self.num_bins) - ENTRY_BIN) * BIN_SECONDS
        base = generator.normal(np.log(self.rate), 0.7, num_neurons)
        responses = generator.normal(0, self.tuning * traits.tuning, (NUM_ODOURS, num_neurons))
        attends = generator.random((num_trials, 1)) < traits.attention
        strength = np.where(attends, 1.0, WEAK)
        gain = generator.normal(size=(num_trials, 1))
        per_trial = base + self.gain * gain
        loadings = generator.normal(0, self.state, num_neurons)
        state = _slow(num_trials, generator)[:, None]
        per_trial += state * loadings
        progress = np.linspace(-0.5, 0.5, num_trials)[:, None]
        per_trial += progress * generator.normal(0, self.drift, num_neurons)
        # Theta: cos(2 pi f t + phase - preferred) written as two products, so that only one
        # array of the full size is made.
        depth = self.theta * np.abs(generator.normal(size=num_neurons))
        preferred = generator.uniform(0, 2 * np.pi, num_neurons)
        frequency = generator.uniform(self.frequency - 0.5, self.frequency + 0.5, (num_trials, 1))
        phase = generator.uniform(0, 2 * np.pi, (num_trials, 1))
        angle = 2 * np.pi * frequency * seconds + phase
        course = np.tile(_course(seconds), (num_trials, 1))
        in_time = np.stack([np.cos(angle), np.sin(angle), course])
        locked = [np.cos(preferred), np.sin(preferred)]
        in_phase = [np.tile(depth * place, (num_trials, 1)) for place in locked]
        in_neurons = np.stack([*in_phase, responses[odours] * strength])
        log_rates = np.einsum(
            "fkt,fkn->knt", in_time.astype(np.float32), in_neurons.astype(np.float32), optimize=True
        )
        log_rates += per_trial.astype(np.float32)[:, :, None]
        if self.walk:
            log_rates += self._walk(num_trials, num_neurons, generator)
        parts = {
            "phase": (self.theta, in_time[:2]),
            "gain": (self.gain, np.broadcast_to(gain, course.shape)[None]),
            "state": (self.state, np.broadcast_to(state, course.shape)[None]),
        }
        return log_rates, {name: part for name, (strength, part) in parts.items() if strength}

    def _walk(
        self, num_trials: int, num_neurons: int, generator: np.random.Generator
    ) -> np.ndarray:
        """The walk's part of the log-rates, shape (trials, neurons, bins), float32."""
        steps = generator.normal(size=(num_trials, self.num_bins))
        steps[:, 1:] *= np.sqrt(BIN_SECONDS)
        loadings = generator.normal(0, self.walk, num_neurons)
        place = steps.cumsum(axis=1).astype(np.float32)
        return place[:, None, :] * loadings.astype(np.float32)[:, None]


def simulate_rats(
    out: str,
    seed: int = 0,
    tuning: float = 1.0,
    theta: float = 0.8,
    gain: float = 0.25,
    state: float = 0.3,
    drift: float = 0.2,
    num_trials: int | None = None,
    num_bins: int = 400,
    rate: float = 6.0,
    frequency: float = 8.0,
    walk: float = 0.0,
) -> str:
    """Write simulated recordings of five rats as files in the layout of Dryad's.

    The folder `out` appears when all files are complete. See `RatSimulator` for the other settings.
    """
    simulator = RatSimulator(
        seed, tuning, theta, gain, state, drift, num_trials, num_bins, rate, frequency, walk
    )
    folder = Path(out).expanduser().absolute()
    if folder.exists():
        raise FileExistsError(f"{folder} exists; name a folder that does not")
    with replacing(folder) as unfinished:
        for rat in RATS:
            write_rat(unfinished, simulator.record(rat))
    path = shlex.quote(f"data.path={folder}")
    return (
        f"{len(RATS)} rats in {folder}\n"
        f"train on them: python -m mixvae.train +experiment=hippocampus_mmvm {path}"
    )


def _course(seconds: np.ndarray) -> np.ndarray:
    """How strong the response to the odour is: it rises after port entry and fades slowly."""
    rise = 1 / (1 + np.exp(-(seconds - 0.15) / 0.05))
    return rise * np.exp(-np.clip(seconds - 0.3, 0, None) / 1.5)


def _slow(num_trials: int, generator: np.random.Generator) -> np.ndarray:
    """A state of variance 1 that forgets itself over some ten trials, shape (trials,)."""
    kept = 0.9
    noise = generator.normal(size=num_trials) * np.sqrt(1 - kept**2)
    state = np.empty(num_trials)
    before = generator.normal()
    for trial in range(num_trials):
        before = kept * before + noise[trial]
        state[trial] = before
    return state


def _trials(num_trials: int, skill: float, generator: np.random.Generator) -> np.ndarray:
    """Correct, in sequence, position and odour of each trial, shape (trials, 4), int64."""
    rows: list[tuple[int, int, int, int]] = []
    while len(rows) < num_trials:
        odours = np.arange(1, NUM_ODOURS + 1)
        if generator.random() < 0.5:
            # one odour of the sequence comes out of its place
            misplaced = generator.integers(1, NUM_ODOURS)
            odours[misplaced] = generator.choice(np.delete(odours, misplaced))
        for position, odour in enumerate(odours, start=1):
            correct = generator.random() < skill
            rows.append((int(correct), int(odour == position), position, int(odour)))
            if not correct:
                break
    return np.array(rows[:num_trials], dtype=np.int64)
