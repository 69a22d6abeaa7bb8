"""How do side features enter a network? Vectors of items' attributes and of moments' contexts.

Shape letters: N items, A attribute codes of an item, B moments, C context names, I item vector
width, X width of a context's vector.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.side_features import SideFeatures


class AttributeVectors(nn.Module):
    """Of every item the mean vector of its attributes; zero of an item without any."""

    codes_NA: Tensor
    is_described_N: Tensor

    def __init__(
        self, codes_NA: npt.NDArray[np.int32], num_codes: int, width: int, *, spread: float = 1.0
    ) -> None:
        """Begin at random.

        Args:
            codes_NA: attribute codes of the catalogue's items, 0 behind the last.
            num_codes: the largest.
            width: of the vectors.
            spread: standard deviation of their first entries: that of the items' own vectors.
        """
        super().__init__()
        self.register_buffer("codes_NA", torch.from_numpy(codes_NA.astype(np.int64)), False)
        self.register_buffer("is_described_N", (self.codes_NA > 0).any(1), False)
        self.vectors = nn.Parameter(torch.randn(1 + num_codes, width) * spread)

    @torch.no_grad()
    def keep(self, learned_N: npt.NDArray[np.bool_], own_NI: Tensor) -> None:
        """Let nothing that no example is about speak at random for ever, neither codes nor items.

        Of an item without examples only learned attributes can say anything; the own vector of one
        that has no attributes at all stays.

        Args:
            learned_N: which items there are examples of.
            own_NI: the items' own vectors; changed in place.
        """
        codes_NA = self.codes_NA.numpy()[learned_N]
        is_learned = np.isin(np.arange(len(self.vectors)), codes_NA[codes_NA > 0])
        self.vectors[torch.from_numpy(~is_learned)] = 0
        own_NI[self.is_described_N & torch.from_numpy(~learned_N)] = 0

    def speak_alone(self, learned_N: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which items nothing is learned of but by attributes that others have, too, `[N]`.

        Args:
            learned_N: which items there are examples of.
        """
        codes_NA = self.codes_NA.numpy()
        learned_codes = np.unique(codes_NA[learned_N])
        has_learned_N = np.isin(codes_NA, learned_codes[learned_codes > 0]).any(1)
        alone_N: npt.NDArray[np.bool_] = ~learned_N & has_learned_N
        return alone_N

    def added_to(self, own_NI: Tensor, hidden_N: Tensor | None = None) -> Tensor:
        """Return the sums of own and attributes' vectors, `[N, I]`.

        Args:
            own_NI: the items' own.
            hidden_N: which of them are not read; bool. None for none.
        """
        own_NI = own_NI if hidden_N is None else own_NI * ~hidden_N[:, None]
        summed_NI: Tensor = own_NI + self()
        return summed_NI

    def forward(self) -> Tensor:
        """Return the mean of each item, `[N, I]`."""
        return functional.embedding_bag(self.codes_NA, self.vectors, mode="mean", padding_idx=0)


def id_dropout_mask(
    attributes: AttributeVectors | None, share: float, generator: np.random.Generator
) -> Tensor | None:
    """Return which items' own vectors to hide, so that attributes learn to speak alone; bool `[N]`.

    Args:
        attributes: of the items; without any, None is returned.
        share: of the items that have attributes, 0 to 1.
        generator: draws.
    """
    if attributes is None:
        return None
    drawn_N = generator.random(len(attributes.codes_NA)) < share
    hidden_N: Tensor = torch.from_numpy(drawn_N) & attributes.is_described_N
    return hidden_N


class ContextVectors(nn.Module):
    """A vector for each context code; all zero at first, those that never come and 0's for good."""

    def __init__(self, side: SideFeatures, width: int) -> None:
        super().__init__()
        self._num_codes = 1 + side.num_context_codes
        self.vectors = nn.Parameter(torch.zeros(len(side.context) * self._num_codes, width))

    def forward(self, context_BC: Tensor) -> Tensor:
        """Return the vectors of each moment's contexts, `[B, C, X]`.

        Args:
            context_BC: as `models.side_features.context_rows`; int64.
        """
        is_told_BC = context_BC % self._num_codes > 0
        return functional.embedding(context_BC, self.vectors) * is_told_BC[..., None]

    def renamed(
        self, vectors_before: Tensor | None, side: SideFeatures, before: SideFeatures
    ) -> Tensor:
        """Return these vectors with those that others had of the same contexts.

        Args:
            vectors_before: the others'; None where there were no contexts.
            side: which contexts there are here.
            before: which there were.
        """
        vectors = self.vectors.detach().clone()
        if vectors_before is not None:
            width, num_codes = vectors.shape[1], self._num_codes
            kept = vectors.view(-1, num_codes, width)
            for now, then in side.kept_from(before):
                kept[now] = vectors_before.view(-1, num_codes, width)[then]
        return vectors
