"""Several sequences in one row of the decoder: position ids start anew at each, and attention stays within it.

transformers finds the sequences of a row from its position ids, if it gets no attention mask. A padded batch computes
the padding too; rows that are filled have little. R rows, N tokens a row, d the model's width.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from heapq import heapreplace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 4  # a row is at most so many times as long as the longest sequence: its mask grows with the square


def fill(lengths: Sequence[int], dim: int) -> list[list[int]]:
    """Which sequences share a row: of all numbers of rows, the one that costs least when they are filled alike.

    N tokens in a row cost N (6 d + N): linear layers (24 d^2) and attention (4 N d) of a Llama layer.
    """
    fewest = math.ceil(sum(lengths) / ((LONGEST - 1) * max(lengths)))  # no row is over the mean by a whole sequence

    def cost(rows: list[list[int]]) -> int:
        longest = max(sum(lengths[i] for i in row) for row in rows)
        return len(rows) * longest * (6 * dim + longest)

    return min((_fill(lengths, rows) for rows in range(fewest, len(lengths) + 1)), key=cost)


def _fill(lengths: Sequence[int], count: int) -> list[list[int]]:
    """So many rows: each sequence, the longest first, goes to the row that has least."""
    rows: list[list[int]] = [[] for _ in range(count)]
    least = [(0, row) for row in range(count)]  # a heap
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        size, row = least[0]
        rows[row].append(i)
        heapreplace(least, (size + lengths[i], row))
    return rows


def hidden_states(decoder: Any, embeds: Sequence[Tensor], pack: bool) -> list[Tensor]:
    """The last hidden states of sequences [n, d], each as if it were alone; padded to a batch or packed in rows."""
    if not pack:
        mask = pad_sequence([torch.ones(len(e), dtype=torch.long, device=e.device) for e in embeds], batch_first=True)
        states = decoder(
            inputs_embeds=pad_sequence(list(embeds), batch_first=True), attention_mask=mask, use_cache=False
        )
        return [row[: len(e)] for row, e in zip(states.last_hidden_state, embeds, strict=True)]
    rows = fill([len(e) for e in embeds], embeds[0].shape[-1])
    packed = pad_sequence([torch.cat([embeds[i] for i in row]) for row in rows], batch_first=True)  # R N d
    places = torch.stack([_positions([len(embeds[i]) for i in row], packed.shape[1]) for row in rows])
    states = decoder(inputs_embeds=packed, position_ids=places.to(packed.device), use_cache=False).last_hidden_state
    found: dict[int, Tensor] = {}
    for row, row_states in zip(rows, states, strict=True):
        lengths = [len(embeds[i]) for i in row]
        found |= zip(row, row_states[: sum(lengths)].split(lengths), strict=True)
    return [found[i] for i in range(len(embeds))]


def _positions(lengths: Sequence[int], width: int) -> Tensor:
    """0, 1, ... for each sequence and for the padding after them, [width]."""
    return torch.cat([torch.arange(n) for n in (*lengths, width - sum(lengths))])


@torch.no_grad()
def keeps_apart(model: Any) -> bool:
    """Whether a model takes packed rows: two short sequences packed are compared with the second one alone. Models
    with recurrent layers, or with positions that are not from their ids, do not."""
    decoder = model.get_decoder()
    if "position_ids" not in inspect.signature(decoder.forward).parameters:
        return False
    dim, dice = model.get_input_embeddings().weight.shape[-1], torch.Generator().manual_seed(0)
    first, second = (torch.randn(n, dim, generator=dice).to(model.device, model.dtype) for n in (3, 4))
    modes = [(module, module.training) for module in decoder.modules()]
    decoder.eval()  # no dropout
    try:
        places = _positions((3, 4), 7).to(model.device)[None]
        together = decoder(inputs_embeds=torch.cat([first, second])[None], position_ids=places, use_cache=False)
        alone = decoder(inputs_embeds=second[None], use_cache=False).last_hidden_state
    finally:
        for module, mode in modes:
            module.training = mode
    slack = 1e-4 if model.dtype == torch.float32 else 3e-2
    return torch.allclose(together.last_hidden_state[:, 3:].float(), alone.float(), rtol=slack, atol=slack)
