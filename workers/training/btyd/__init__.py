"""Fits of the buy-till-you-die models whose predictions ``workers/runtime/btyd.py`` makes."""
