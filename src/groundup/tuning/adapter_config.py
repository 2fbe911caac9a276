"""How a model is adapted: the method and its numbers."""

from dataclasses import dataclass
from typing import Literal, get_args

from groundup.errors import GroundupError

__all__ = ["AdapterConfig", "Method"]

Method = Literal["lora", "dora", "qlora", "prefix", "prompt", "ia3"]


@dataclass(frozen=True)
class AdapterConfig:
    """One method, and what it needs; entries of other methods mean nothing.

    Which layers LoRA, DoRA, QLoRA and (IA)³ change is said by ``targets``, a regular expression for
    a layer's name or for its end after a dot: ``q_proj|v_proj``, or ``layers\\.[0-3]\\..*``. None
    takes all linear layers but the output for the first three, and for (IA)³ keys, values and the
    last matrix of each feed-forward layer.
    """

    method: Method = "lora"
    rank: int = 16
    alpha: float = 32.0  # LoRA's addition is multiplied by alpha / rank
    dropout: float = 0.0  # of the input of LoRA's addition, in training
    rank_stabilized: bool = False  # alpha / sqrt(rank) instead
    targets: str | None = None
    virtual_tokens: int = 20  # of a prefix or a prompt

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise GroundupError(f"the method is {self.method!r}: expected one of {known}")
        for name in ("rank", "virtual_tokens"):
            if getattr(self, name) < 1:
                raise GroundupError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.alpha > 0:
            raise GroundupError(f"alpha must be positive, got {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise GroundupError(f"dropout must be at least 0 and below 1, got {self.dropout}")
