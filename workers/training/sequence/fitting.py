"""Fits a net on training rows: fixed steps, seeded draws, one thread; equal inputs give equal weights.

There is no early stopping: a split by row would put one customer on both sides. The steps are fixed and the
weights of the last half are averaged, which forgives a learning rate that suits another shop better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from workers.training.datasets import Rows
from workers.training.lineup import MemberDropped
from workers.training.sequence.nets import PLAIN, Scales, SequenceNet, divisors

MIN_ROWS = 2_000
"""Training rows below which a net only repeats what the plain members say, with more noise."""

STEPS = 200
_BATCH = 256
_PAIRS_MOST = 60_000
_RATE, _DECAY, _WARM_STEPS, _CLIP_NORM = 4e-3, 1e-3, 30, 1.0
_POWER = 1.5
"""Variance of money grows with this power of its mean (Tweedie): between counts (1) and pure sizes (2)."""


@dataclass(frozen=True)
class Batches:
    """Training rows by customer and cut, so that the horizons of a pair share one encoding.

    Attributes:
        features: Shape (pairs, 36), float32.
        sequence: Shape (pairs, 40, 4), float32.
        horizons: Horizons, shape (h,), float32.
        purchases: Purchase-days, shape (pairs, h), float32.
        spend: Money in units of the money scale, shape (pairs, h), float32.
        known: 1 where the pair has a row of the horizon, else 0, shape (pairs, h), float32.
    """

    features: Tensor
    sequence: Tensor
    horizons: Tensor
    purchases: Tensor
    spend: Tensor
    known: Tensor


def fit_sequence(rows: Rows, cell: str, head: str, seed: int, steps: int = 0) -> SequenceNet:
    """Fit a net.

    Args:
        rows: Training rows with their sequences; ``purchases`` and ``spend`` are learnt from.
        cell: ``gru``, ``lstm`` or ``transformer``.
        head: ``tweedie`` or ``lognormal``.
        seed: Seed of everything random.
        steps: Steps of the optimiser; ``STEPS`` when 0.

    Returns:
        The net, in evaluation mode.

    Raises:
        MemberDropped: ``SEQUENCE_MISSING``, ``TOO_FEW_ROWS``, ``NO_PURCHASE_AHEAD``, or ``NOT_FINITE`` when
            the fit ran away.
    """
    if rows.sequence is None:
        raise MemberDropped("SEQUENCE_MISSING")
    if len(rows) < MIN_ROWS:
        raise MemberDropped("TOO_FEW_ROWS")
    if not rows.targets["purchases"].any() or not rows.targets["spend"].any():
        raise MemberDropped("NO_PURCHASE_AHEAD")
    with deterministic(seed):
        scales = _scales(rows)
        net = SequenceNet(cell, head, scales)
        averaged = _descend(net, _batches(rows, scales.money, seed), seed, steps or STEPS)
    if not all(bool(torch.isfinite(weight).all()) for weight in averaged.parameters()):
        raise MemberDropped("NOT_FINITE")
    return averaged.eval()


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """One thread, deterministic kernels and a seed of its own; what was set before is restored."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
            torch.set_num_threads(threads)


def _scales(rows: Rows) -> Scales:
    horizon = rows.column("horizon")
    spend, purchases = rows.targets["spend"], rows.targets["purchases"]
    money = float(spend.sum() / max(1.0, purchases.sum()))
    plain = np.stack([rows.column(name) for name in PLAIN], axis=1)
    divisor = np.array(divisors(money))
    logs = np.log1p(plain / divisor)
    known = ~np.isnan(logs)
    count = np.maximum(1, known.sum(axis=0))
    mean = np.where(known, logs, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (logs - mean) ** 2, 0.0).sum(axis=0) / count)
    return Scales(
        money=money,
        mean=tuple(mean.tolist()),
        deviation=tuple(np.maximum(spread, 1e-3).tolist()),
        rate=float(purchases.sum() / horizon.sum()),
        spend_rate=float(spend.sum() / money / horizon.sum()),
        any_ratio=float((purchases > 0).mean()),
        spend_most=float(spend.max() / money),
    )


def _batches(rows: Rows, money: float, seed: int) -> Batches:
    assert rows.sequence is not None
    key = (rows.customer.astype(np.int64) << 32) + rows.cut
    _, first, pair = np.unique(key, return_index=True, return_inverse=True)
    horizons, which = np.unique(rows.column("horizon"), return_inverse=True)
    shape = (len(first), len(horizons))
    purchases, spend, known = (np.zeros(shape, np.float32) for _ in range(3))
    purchases[pair, which] = rows.targets["purchases"]
    spend[pair, which] = rows.targets["spend"] / money
    known[pair, which] = 1.0
    kept = _sampled(len(first), seed)
    return Batches(
        *(
            torch.from_numpy(np.ascontiguousarray(values))
            for values in (
                rows.features[first[kept]],
                rows.sequence[first[kept]],
                horizons.astype(np.float32),
                purchases[kept],
                spend[kept],
                known[kept],
            )
        )
    )


def _sampled(pairs: int, seed: int) -> NDArray[np.intp]:
    if pairs <= _PAIRS_MOST:
        return np.arange(pairs)
    return np.sort(np.random.default_rng(seed).choice(pairs, _PAIRS_MOST, replace=False))


def _descend(net: SequenceNet, data: Batches, seed: int, steps: int) -> SequenceNet:
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _pace(step, steps))
    averaged: AveragedModel | None = None
    net.train()
    for step, chosen in enumerate(_draws(len(data.features), steps, seed)):
        optimiser.zero_grad(set_to_none=True)
        _loss(net, data, chosen).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), _CLIP_NORM)
        optimiser.step()
        schedule.step()
        if step >= steps // 2:
            averaged = averaged or AveragedModel(net)
            averaged.update_parameters(net)
    found = net if averaged is None else averaged.module
    assert isinstance(found, SequenceNet)
    return found


def _pace(step: int, steps: int) -> float:
    if step < _WARM_STEPS:
        return (step + 1) / _WARM_STEPS
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _draws(pairs: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Pairs of each step: whole passes in random order, cut into batches."""
    rng = np.random.default_rng([seed, 1])
    order, at = rng.permutation(pairs), 0
    for _ in range(steps):
        if at + _BATCH > len(order):
            order, at = np.concatenate([order[at:], rng.permutation(pairs)]), 0
        yield torch.from_numpy(order[at : at + _BATCH])
        at += _BATCH


def _loss(net: SequenceNet, data: Batches, chosen: Tensor) -> Tensor:
    """Poisson for purchase-days, log loss for any purchase, Tweedie or log-normal for money, of one batch."""
    count, ahead = len(chosen), len(data.horizons)
    state = net.state(data.features[chosen], data.sequence[chosen]).repeat_interleave(ahead, dim=0)
    horizon = data.horizons.repeat(count)
    purchases, spend = data.purchases[chosen].reshape(-1), data.spend[chosen].reshape(-1)
    known = data.known[chosen].reshape(-1)
    log_purchases, any_logit, raw = net.outputs(state, horizon[:, None])
    bought = (purchases > 0).to(purchases.dtype)
    # A long horizon holds more purchases; without this it alone would be learnt.
    share = torch.sqrt(data.horizons.mean() / horizon)
    poisson = share * (torch.exp(log_purchases) - purchases * log_purchases)
    any_loss = nn.functional.binary_cross_entropy_with_logits(any_logit, bought, reduction="none")
    if net.head == "tweedie":
        power = 2.0 - _POWER
        log_mean = raw[:, 0]
        money = torch.exp(power * log_mean) / power + spend * torch.exp(-power * log_mean) / power
    else:
        centre, deviation = net.log_normal(raw)
        paid = (spend > 0).to(spend.dtype)
        error = (torch.log(spend.clamp(min=1e-6)) - centre) / deviation
        money = paid * (torch.log(deviation) + 0.5 * error**2)
    return (known * (poisson + any_loss + share * money)).sum() / known.sum()
