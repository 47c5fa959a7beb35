"""Floor 2: LightningModules, wiring only: encode, sample, decode, objectives."""

from mixvae.modules.autoencoder import Autoencoder as Autoencoder
from mixvae.modules.beta_vae import BetaVAE as BetaVAE
from mixvae.modules.cascade_vae import CascadeVAE as CascadeVAE
from mixvae.modules.cpl_mixvae import CplMixVAE as CplMixVAE
from mixvae.modules.gmvae import GMVAE as GMVAE
from mixvae.modules.imsat import IMSAT as IMSAT
from mixvae.modules.info_gan import InfoGAN as InfoGAN
from mixvae.modules.joint_posterior import JointPosteriorVAE as JointPosteriorVAE
from mixvae.modules.joint_vae import JointVAE as JointVAE
from mixvae.modules.learned_augmenter import AugmenterVAEGAN as AugmenterVAEGAN
from mixvae.modules.mmvae_plus import MMVAEPlus as MMVAEPlus
from mixvae.modules.mmvm import MMVM as MMVM
from mixvae.modules.vade import VaDE as VaDE
