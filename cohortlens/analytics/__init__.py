"""Predictions, segments and explanations of customers, and the training of the models behind them."""
