"""A Gaussian mixture of training latents, from which samples of all modalities are drawn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixvae.files import replacing
from mixvae.spacing import spaced

CANDIDATES = (1, 2, 3, 5, 8, 12, 18, 27, 40)
MAX_FITTED, MAX_FULL = 5000, 32
FILE = "latent_mixture.npz"


class LatentMixture(NamedTuple):
    """A mixture of K Gaussians over L latent dimensions.

    Attributes:
        weights: Shares of the components, shape (K,).
        means: Shape (K, L).
        covariances: Shape (K, L, L), or the variances, (K, L), of more than 32 dimensions.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw latents, shape (count, L)."""
        kind = generator.choice(len(self.weights), count, p=self.weights)
        noise = generator.standard_normal((count, self.means.shape[1]))
        if self.covariances.ndim == 2:
            noise *= np.sqrt(self.covariances)[kind]
        else:
            noise = np.einsum("nij,nj->ni", np.linalg.cholesky(self.covariances)[kind], noise)
        return (self.means[kind] + noise).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `latent_mixture.npz`."""
        with replacing(folder / FILE) as temporary:
            np.savez(temporary, **self._asdict())

    @classmethod
    def load(cls, folder: Path) -> LatentMixture | None:
        """Read what `save` wrote; None if it is missing."""
        if not (folder / FILE).is_file():
            return None
        with np.load(folder / FILE, allow_pickle=False) as file:
            return cls(*(file[name] for name in cls._fields))


def fit_latent_mixture(latents: NDArray[np.floating[Any]]) -> LatentMixture:
    """Fit a mixture to latents (N, L); the number of components has the lowest BIC.

    Numbers are tried in rising order until the BIC has risen twice in a row, on 5,000 rows spread
    over the data. It is deterministic.

    Raises:
        ValueError: If there are fewer than two events, or latents are not finite.

    Source:
        Ghosh et al. 2020 (regularised autoencoders): a density fitted to latents after training.
    """
    points = np.asarray(latents, dtype=np.float64)
    # Slow to import.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if not np.isfinite(points).all():
        raise ValueError("some training latents are not finite: the training has diverged")
    points = points[spaced(len(points), MAX_FITTED)]
    shape = "full" if points.shape[1] <= MAX_FULL else "diag"
    # A latent that no modality uses has next to no spread.
    floor = 1e-6 * max(float(points.var(axis=0).mean()), 1e-12)
    best, lowest, rises = None, np.inf, 0
    for count in CANDIDATES:
        if rises == 2 or len(points) < 2 * count:
            break
        model = GaussianMixture(count, covariance_type=shape, reg_covar=floor, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            bic = model.fit(points).bic(points)
        rises = rises + 1 if bic >= lowest else 0
        if bic < lowest:
            best, lowest = model, bic
    if best is None:
        raise ValueError(f"a mixture of latents needs 2 events or more; got {len(points)}")
    return LatentMixture(best.weights_, best.means_, best.covariances_)
