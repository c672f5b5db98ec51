"""Training of model versions: purchase-days in, a judged and stored artifact out."""
