"""Fits of the buy-till-you-die models whose predictions ``workers/runtime/btyd.py`` makes."""

from workers.training.btyd.fitting import Fit, fit
from workers.training.btyd.money import GammaGammaFit, fit_gamma_gamma

__all__ = ["Fit", "GammaGammaFit", "fit", "fit_gamma_gamma"]
