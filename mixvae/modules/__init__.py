"""Floor 2: LightningModules, wiring only: encode, sample, decode, objectives."""

from mixvae.modules.cpl_mixvae import CplMixVAE as CplMixVAE
