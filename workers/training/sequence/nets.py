"""The nets: an encoder of 40 weeks, the history's plain numbers beside it, and a head for each target.

Everything that turns stored features into inputs happens inside the net, so that the exported graph takes
rows as they are stored. The encoder never sees the horizon: rows of one customer and cut share its work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import CHANNELS, WEEKS

CELLS = ("gru", "lstm", "transformer")
HEADS = ("tweedie", "lognormal")

UNITS = 32
"""Width of the encoder's state."""

_HEADS_OF_ATTENTION = 4
_LAYERS_OF_ATTENTION = 2
_DROPOUT = 0.1
_TRUNK = 64
_CLIP = 4.0
_LOG_FLOOR = -16.0
_SIGMA = (0.05, 2.0)

_COUNTS = (
    "x",
    "t_x",
    "age",
    "since",
    "rate_30",
    "gap_mean",
    "gap_sd",
    "overdue_ratio",
    "n_30",
    "n_90",
    "n_180",
)
_MONEY = ("sum", "mean", "max", "last", "zbar", "s_30", "s_90", "s_180")
_BASKETS = ("items_mean", "skus_distinct", "return_ratio")
PLAIN = (*_COUNTS, *_MONEY, *_BASKETS)
"""Features that the trunk reads beside the encoder's state. The population's trend is not among them: a
training has a handful of cuts, and a net would learn them by heart."""


@dataclass(frozen=True)
class Scales:
    """What inputs and outputs are measured against, taken from the training rows.

    Attributes:
        money: Mean money of a purchase-day, major units.
        mean: Mean of each plain input after its logarithm, of ``len(PLAIN)``.
        deviation: Standard deviation likewise, > 0.
        rate: Mean purchase-days per day ahead.
        spend_rate: Mean money per day ahead, in units of ``money``.
        any_ratio: Share of rows with a purchase in their horizon.
        spend_most: Largest money of a row, in units of ``money``.
    """

    money: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rate: float
    spend_rate: float
    any_ratio: float
    spend_most: float


def divisors(money: float) -> tuple[float, ...]:
    """What each plain input is divided by before its logarithm: the money scale for money, else 1."""
    return tuple(money if name in _MONEY else 1.0 for name in PLAIN)


class RecurrentEncoder(nn.Module):
    """GRU or LSTM over the weeks; gives its last state.

    Args:
        cell: ``gru`` or ``lstm``.
    """

    def __init__(self, cell: str) -> None:
        super().__init__()
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.cell = kind(len(CHANNELS), UNITS, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """State after the last week; sequence of shape (n, 40, 4), result of shape (n, 32)."""
        outputs, _ = self.cell(sequence)
        last: Tensor = outputs[:, WEEKS - 1]
        return last


class AttentionEncoder(nn.Module):
    """Two layers of self-attention over the weeks, read out at the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(len(CHANNELS), UNITS)
        self.place = nn.Parameter(0.02 * torch.randn(1, WEEKS, UNITS))
        self.blocks = nn.ModuleList(_Block() for _ in range(_LAYERS_OF_ATTENTION))
        self.leave = nn.LayerNorm(UNITS)

    def forward(self, sequence: Tensor) -> Tensor:
        """State of the last week; sequence of shape (n, 40, 4), result of shape (n, 32)."""
        hidden = self.enter(sequence) + self.place
        for block in self.blocks:
            hidden = block(hidden)
        state: Tensor = self.leave(hidden[:, WEEKS - 1])
        return state


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(UNITS)
        self.mixed = nn.Linear(UNITS, 3 * UNITS)
        self.joined = nn.Linear(UNITS, UNITS)
        self.between = nn.LayerNorm(UNITS)
        self.wide = nn.Sequential(nn.Linear(UNITS, 2 * UNITS), nn.GELU(), nn.Linear(2 * UNITS, UNITS))

    def forward(self, hidden: Tensor) -> Tensor:
        size = UNITS // _HEADS_OF_ATTENTION
        mixed = self.mixed(self.before(hidden)).reshape(-1, WEEKS, 3, _HEADS_OF_ATTENTION, size)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(size), dim=-1)
        joined = (weights @ value).permute(0, 2, 1, 3).reshape(-1, WEEKS, UNITS)
        hidden = hidden + self.joined(joined)
        state: Tensor = hidden + self.wide(self.between(hidden))
        return state


class SequenceNet(nn.Module):
    """From stored rows to the targets.

    Args:
        cell: One of ``CELLS``.
        head: ``tweedie``: the logarithm of expected money is learnt as it is. ``lognormal``: money is a
            probability of any and a log-normal given any (Wang, Liu, Miao, arXiv:1912.07753, 2019).
        scales: What inputs and outputs are measured against.
    """

    columns: Tensor
    divisor: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, cell: str, head: str, scales: Scales) -> None:
        super().__init__()
        self.head = head
        self.encoder = AttentionEncoder() if cell == "transformer" else RecurrentEncoder(cell)
        self.trunk = nn.Sequential(
            nn.Linear(UNITS + 2 * len(PLAIN) + 1, _TRUNK),
            nn.SiLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(_TRUNK, _TRUNK),
            nn.SiLU(),
        )
        self.purchases = nn.Linear(_TRUNK, 1)
        self.any = nn.Linear(_TRUNK, 1)
        self.spend = nn.Linear(_TRUNK, 1 if head == "tweedie" else 2)
        self.money_scale = scales.money
        self.spend_most = math.log(scales.spend_most)
        self.register_buffer(
            "columns", torch.tensor([SCHEMA.index(name) for name in PLAIN]), persistent=False
        )
        self.register_buffer("divisor", torch.tensor(divisors(scales.money), dtype=torch.float32))
        self.register_buffer("mean", torch.tensor(scales.mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(scales.deviation, dtype=torch.float32))
        self._start_at(scales)

    def _start_at(self, scales: Scales) -> None:
        """Begin as the population's mean: outputs that start far away spend half the training on the way."""
        with torch.no_grad():
            for layer in (self.purchases, self.any, self.spend):
                layer.weight.mul_(0.1)
                layer.bias.zero_()
            self.purchases.bias.fill_(math.log(scales.rate))
            share = min(max(scales.any_ratio, 0.01), 0.99)
            self.any.bias.fill_(math.log(share / (1.0 - share)))
            if self.head == "tweedie":
                self.spend.bias.fill_(math.log(scales.spend_rate))

    def plain(self, features: Tensor) -> Tensor:
        """Logarithms of the plain features, unscaled; NaN stays; shape (n, len(PLAIN))."""
        return torch.log1p(features[:, self.columns] / self.divisor)

    def state(self, features: Tensor, sequence: Tensor) -> Tensor:
        """What is known of a customer at a cut, whatever the horizon.

        Args:
            features: Shape (n, 36).
            sequence: Shape (n, 40, 4).

        Returns:
            Shape (n, 32 + 2 x len(PLAIN)).
        """
        scaled = (self.plain(features) - self.mean) / self.deviation
        missing = torch.isnan(scaled)
        filled = torch.where(missing, torch.zeros_like(scaled), scaled).clamp(-_CLIP, _CLIP)
        return torch.cat([self.encoder(sequence), filled, missing.to(filled.dtype)], dim=1)

    def outputs(self, state: Tensor, horizon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw outputs of the heads.

        Args:
            state: As ``state`` gives it, shape (n, ...).
            horizon: Days ahead, shape (n, 1).

        Returns:
            Log of expected purchase-days, shape (n,); logit of any purchase, shape (n,); and for money the
            log of its expectation in units of the money scale, shape (n, 1), or what ``log_normal`` reads,
            shape (n, 2).
        """
        days = torch.log(horizon.clamp(min=1.0))
        hidden = self.trunk(torch.cat([state, days - math.log(90.0)], dim=1))
        purchases = torch.minimum((self.purchases(hidden) + days), days).clamp(min=_LOG_FLOOR)
        spend = self.spend(hidden)
        if self.head == "tweedie":
            spend = (spend + days).clamp(_LOG_FLOOR, self.spend_most + 1.0)
        return purchases[:, 0], self.any(hidden)[:, 0], spend

    def log_normal(self, spend: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of log money given any, each of shape (n,)."""
        low, high = _SIGMA
        deviation = low + (high - low) * torch.sigmoid(spend[:, 1])
        return spend[:, 0].clamp(_LOG_FLOOR, self.spend_most + 1.0), deviation

    def forward(self, features: Tensor, sequence: Tensor, horizon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict.

        Args:
            features: Rows as they are stored, shape (n, 36), float32; their own horizon is not read.
            sequence: Weekly sequences, shape (n, 40, 4), float32.
            horizon: Days ahead, shape (n, 1), float32, > 0.

        Returns:
            Purchase-days >= 0, money in major units >= 0, and the probability of no purchase; each (n,).
        """
        log_purchases, any_logit, spend = self.outputs(self.state(features, sequence), horizon)
        if self.head == "tweedie":
            log_spend = spend[:, 0]
        else:
            centre, deviation = self.log_normal(spend)
            expected = (centre + 0.5 * deviation**2).clamp(max=self.spend_most + 1.0)
            log_spend = expected - softplus(-any_logit)
        # Not by the sigmoid: onnxruntime's is exact to 2e-7, which is much of a probability of .003.
        churn = torch.exp(-softplus(any_logit))
        return torch.exp(log_purchases), self.money_scale * torch.exp(log_spend), churn
