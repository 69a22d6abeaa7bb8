"""What does the transformer compute?

Token = item vector, action type, time gap and hashed user side by side, then a linear map; pre-norm
causal blocks with a learned bias of relative position and relative time; from each state two heads:

    p(action type | state, request)
    query = f(state, request, action type), whose products with the item vectors, plus weighted
            log-scores of the counters, are the logits of p(item | state, request, action type)

Item vectors live outside the network: the catalogue grows. They are L2-normalised, and so is the
query before it is divided by the temperature and multiplied by the trust, a share that the state
itself decides: a network that knows little begins by leaving the order to the counters. The request
is the vector of its gap and, added to it, those of its contexts. The gap says how long after the
last action the user came back, which the system knows from a visit; for a target without a visit
before it, it is "now", in training as in serving. The contexts are those of the event that the list
was made at; an untold one adds nothing. The time until the target is never an input.

Shape letters: B batch, L tokens (queries), K tokens (keys), H heads, E width of a head, M model
width, I item vector width, P predicted positions, A action types, C context names, G width of a
gap's and of a request's vector.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoder_inputs import NUM_ACTIONS, NUM_GAP_BUCKETS
from models.neural.side_inputs import ContextVectors
from models.side_features import NO_SIDE, SideFeatures
from models.transformer.attention import causal_attention, causal_bias
from models.transformer.products import Linear

NUM_COUNTERS: Final = 3
"""Popularity's log-score, co-visitation's lift over it, and whether co-visitation lists it."""

CALIBRATION: Final = ("counter_head.", "trust_head.")
"""The weights of one input against another, which are learned on targets nothing has seen yet."""

CONTEXTS: Final = "contexts.vectors"
"""The weights that depend on which contexts there are."""

_FIRST_TRUST: Final = -2.0

TIME_SCALES_S: Final = (30.0, 3600.0)
"""The relative-time bias is a learned sum of log(1 + dt / scale), one slope a scale and head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Sizes and regularisation; the defaults fit a refresh of minutes on one core.

    Attributes:
        length: most tokens of a sequence.
        num_user_buckets: rows of the hashed user embedding.
        temperature: divides the cosine of query and item.
        user_dropout: share of sequences whose user is hidden in training, so that the network
            works for users it has not seen.
        item_dropout: share of tokens whose item is hidden in training, which is how an item newer
            than the bundle looks in serving.
        id_dropout: share of the items with attributes whose own vector is hidden in a step, so that
            attributes learn to speak alone.
    """

    length: int = 50
    item_width: int = 64
    action_width: int = 16
    gap_width: int = 16
    user_width: int = 16
    model_width: int = 64
    feed_forward_width: int = 128
    num_heads: int = 2
    num_blocks: int = 2
    num_user_buckets: int = 4096
    temperature: float = 0.05
    dropout: float = 0.1
    user_dropout: float = 0.3
    item_dropout: float = 0.05
    id_dropout: float = 0.02

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        if self.model_width % self.num_heads:
            raise ValueError(
                f"model_width {self.model_width} is not a multiple of num_heads {self.num_heads}"
            )
        if self.length < 2:
            raise ValueError(f"length is {self.length}; a sequence has at least 2 tokens")


class MaskPool:
    """Dropout masks cut from one pre-drawn pool, which is faster than drawing each anew.

    Masks overlap between steps at random offsets; that is enough to regularise and not meant for
    statistics. Reproducible for a given generator.
    """

    def __init__(self, dropout: float, generator: torch.Generator, size: int = 1 << 20) -> None:
        self._generator = generator
        self._dropout = dropout
        self._pool = self._draw(size)

    def apply(self, values: Tensor) -> Tensor:
        """Return `values` with random entries set to zero and the others scaled up."""
        if not self._dropout:
            return values
        if values.numel() >= self._pool.numel():
            self._pool = self._draw(2 * values.numel())
        spare = self._pool.numel() - values.numel()
        offset = int(torch.randint(spare, (1,), generator=self._generator))
        return values * self._pool[offset : offset + values.numel()].view(values.shape)

    def _draw(self, size: int) -> Tensor:
        kept = torch.rand(size, generator=self._generator) >= self._dropout
        return kept.float() / (1 - self._dropout)


class Block(nn.Module):
    """Pre-norm causal attention and a SwiGLU feed-forward layer, each added to its input."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.model_width
        self.num_heads = config.num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = Linear(width, 3 * width)
        self.attention_out = Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward_in = Linear(width, 2 * config.feed_forward_width)
        self.feed_forward_out = Linear(config.feed_forward_width, width)
        self.position_bias = nn.Parameter(torch.zeros(config.num_heads, config.length))
        self.time_slope = nn.Parameter(torch.zeros(config.num_heads, len(TIME_SCALES_S)))

    def forward(
        self, hidden_BLM: Tensor, time_BLLS: Tensor | None, masks: MaskPool | None
    ) -> Tensor:
        """Return the block's output; `masks` is None outside training."""
        mixed_BLM = self._attend(self.attention_norm(hidden_BLM), time_BLLS)
        if masks:
            mixed_BLM = masks.apply(mixed_BLM)
        hidden_BLM = hidden_BLM + mixed_BLM
        gate_BLF, value_BLF = self.feed_forward_in(self.feed_forward_norm(hidden_BLM)).chunk(2, -1)
        out_BLM: Tensor = self.feed_forward_out(functional.silu(gate_BLF) * value_BLF)
        if masks:
            out_BLM = masks.apply(out_BLM)
        return hidden_BLM + out_BLM

    def _attend(self, hidden_BLM: Tensor, time_BLLS: Tensor | None) -> Tensor:
        num_batch, length, width = hidden_BLM.shape
        split = self.query_key_value(hidden_BLM).view(num_batch, length, 3, self.num_heads, -1)
        query_BHLE, key_BHLE, value_BHLE = split.permute(2, 0, 3, 1, 4)
        bias = causal_bias(self.position_bias, length)
        if time_BLLS is not None:
            bias = bias + (time_BLLS @ self.time_slope.T).permute(0, 3, 1, 2)
        mixed_BHLE = causal_attention(query_BHLE, key_BHLE, value_BHLE, bias)
        out_BLM: Tensor = self.attention_out(
            mixed_BHLE.transpose(1, 2).reshape(num_batch, length, width)
        )
        return out_BLM


def time_features(time_BL: Tensor) -> Tensor:
    """Return `log(1 + dt / scale)` of each query and key, `[B, L, L, scales]`."""
    elapsed_BLL = (time_BL[:, :, None] - time_BL[:, None, :]).clamp(min=0)
    return torch.stack([torch.log(1 + elapsed_BLL / scale) for scale in TIME_SCALES_S], -1)


class Network(nn.Module):
    """The user encoder and the two heads."""

    def __init__(self, config: NetworkConfig, *, side: SideFeatures = NO_SIDE) -> None:
        """Begin at random.

        Args:
            config: sizes.
            side: which contexts there are.
        """
        super().__init__()
        self.config = config
        self.side = side
        width = config.model_width
        self.action_embedding = nn.Embedding(NUM_ACTIONS + 1, config.action_width)
        self.gap_embedding = nn.Embedding(NUM_GAP_BUCKETS, config.gap_width)
        self.user_embedding = nn.Embedding(config.num_user_buckets, config.user_width)
        for embedding in (self.action_embedding, self.gap_embedding, self.user_embedding):
            nn.init.normal_(embedding.weight, std=1 / math.sqrt(config.item_width))
        token_width = config.item_width + config.action_width + config.gap_width + config.user_width
        self.token = Linear(token_width, width)
        self.blocks = self._body()
        self.final_norm = nn.LayerNorm(width)
        self.action_head = nn.Linear(width + config.gap_width, NUM_ACTIONS)
        asked_width = width + config.gap_width + config.action_width
        self.query_in = Linear(asked_width, 2 * width)
        self.query_out = Linear(2 * width, config.item_width)
        self.counter_head = nn.Linear(asked_width, NUM_COUNTERS)
        self.trust_head = nn.Linear(asked_width, 1)
        # Before anything is learned the counters' log-scores decide, as they are.
        nn.init.zeros_(self.counter_head.weight)
        nn.init.zeros_(self.trust_head.weight)
        with torch.no_grad():
            self.counter_head.bias.copy_(torch.tensor([1.0, 1.0, 0.0]))
            self.trust_head.bias.fill_(_FIRST_TRUST)
        # Last: nothing else, its place in the optimiser included, depends on which there are.
        self.contexts = ContextVectors(side, config.gap_width) if side.context else None

    def encode(
        self,
        item_BLI: Tensor,
        action_BL: Tensor,
        gap_BL: Tensor,
        time_BL: Tensor | None,
        user_B: Tensor,
        masks: MaskPool | None = None,
        hidden_user_B: Tensor | None = None,
    ) -> Tensor:
        """Return the state after each token, `[B, L, M]`; it sees no later token.

        Args:
            item_BLI: L2-normalised item vectors, zero where there is none.
            action_BL: action codes, int64.
            gap_BL: gap buckets, int64.
            time_BL: seconds since the first token, float32; None for a log without times, which
                is the same as zeros and costs less.
            user_B: user buckets, int64.
            masks: dropout masks; None outside training.
            hidden_user_B: where true the user is hidden; None hides nobody.
        """
        user_BU = self.user_embedding(user_B)
        if hidden_user_B is not None:
            user_BU = user_BU.masked_fill(hidden_user_B[:, None], 0)
        user_BLU = user_BU[:, None, :].expand(-1, item_BLI.shape[1], -1)
        parts = [item_BLI, self.action_embedding(action_BL), self.gap_embedding(gap_BL), user_BLU]
        hidden_BLM = self.token(torch.cat(parts, -1))
        normed: Tensor = self.final_norm(self._contextualised(hidden_BLM, time_BL, masks))
        return normed

    def _body(self) -> nn.ModuleList:
        """Return what makes states of tokens; another body overrides this and the next."""
        return nn.ModuleList(Block(self.config) for _ in range(self.config.num_blocks))

    def _contextualised(
        self, hidden_BLM: Tensor, time_BL: Tensor | None, masks: MaskPool | None
    ) -> Tensor:
        """Return `[B, L, M]` whose entry at a token depends on that and earlier tokens alone."""
        time_BLLS = None if time_BL is None else time_features(time_BL)
        for block in self.blocks:
            hidden_BLM = block(hidden_BLM, time_BLLS, masks)
        return hidden_BLM

    def action_logits(
        self, state_PM: Tensor, request_gap_P: Tensor, context_PC: Tensor | None = None
    ) -> Tensor:
        """Return the logits of the next action's type, `[P, A]`; arguments as of `queries`."""
        request_PG = self._requests(request_gap_P, context_PC)
        logits: Tensor = self.action_head(torch.cat([state_PM, request_PG], -1))
        return logits

    def queries(
        self,
        state_PM: Tensor,
        request_gap_P: Tensor,
        action_P: Tensor,
        context_PC: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the queries `[P, I]`, all scales included, and the counters' weights `[P, 3]`.

        Args:
            state_PM: of the last token before each request.
            request_gap_P: gap buckets, int64.
            action_P: codes of the actions asked about, int64.
            context_PC: as `models.side_features.context_rows`; read where there are contexts.
        """
        request_PG = self._requests(request_gap_P, context_PC)
        asked = torch.cat([state_PM, request_PG, self.action_embedding(action_P)], -1)
        raw_PI = self.query_out(functional.silu(self.query_in(asked)))
        scale_P1 = torch.sigmoid(self.trust_head(asked)) / self.config.temperature
        query_PI = functional.normalize(raw_PI, dim=-1) * scale_P1
        return query_PI, self.counter_head(asked)

    def _requests(self, gap_P: Tensor, context_PC: Tensor | None) -> Tensor:
        """Return what is known of the moments that lists are made at, `[P, G]`."""
        gap_PG: Tensor = self.gap_embedding(gap_P)
        if self.contexts is None:
            return gap_PG
        assert context_PC is not None, "what is fed has what the network reads"
        request_PG: Tensor = gap_PG + self.contexts(context_PC).sum(1)
        return request_PG
