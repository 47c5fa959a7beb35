"""Train a model: `python -m mixvae.train [+experiment=NAME] [key=value ...]`; see --help."""

from __future__ import annotations

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mixvae.runtime.schema import conf_dir, register

register()


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Run one job: the command itself, or one of a multirun."""
    from mixvae.runtime.training import train

    return train(cfg, overrides=HydraConfig.get().overrides.task)


if __name__ == "__main__":
    job()
