"""What does the LSTM compute? The transformer's tokens and heads, with a recurrent body.

As in GRU4Rec (Hidasi et al. 2016) a recurrent layer makes the state, with an LSTM (Hochreiter &
Schmidhuber 1997) for the GRU; the loss is the full softmax and not a ranking loss, which is known
to serve such a model best.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from models.transformer.network import MaskPool, Network, NetworkConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentConfig(NetworkConfig):
    """The transformer's sizes without what is attention's own.

    Attributes:
        state_width: of the LSTM's state.
    """

    state_width: int = 128


class RecurrentNetwork(Network):
    """A user encoder whose body is an LSTM; relative times are no input, gaps are."""

    config: RecurrentConfig

    def _body(self) -> nn.ModuleList:
        width, state_width = self.config.model_width, self.config.state_width
        return nn.ModuleList(
            [
                nn.LSTM(width, state_width, self.config.num_blocks, batch_first=True),
                nn.Linear(state_width, width),
            ]
        )

    def _contextualised(
        self, hidden_BLM: Tensor, time_BL: Tensor | None, masks: MaskPool | None
    ) -> Tensor:
        del time_BL
        lstm, out = self.blocks
        state_BLS, _ = lstm(hidden_BLM)
        if masks:
            state_BLS = masks.apply(state_BLS)
        mixed_BLM: Tensor = out(state_BLS)
        return hidden_BLM + mixed_BLM
