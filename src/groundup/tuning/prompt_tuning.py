"""Prompt tuning: trained vectors stand before those of the text's tokens."""

import torch
from torch import Tensor, nn

__all__ = ["PromptEmbedding"]


class PromptEmbedding(nn.Module):
    """An embedding with V trained vectors behind the vocabulary's, which are frozen.

    Token ids from ``vocabulary`` on are the virtual tokens.

    Source: Lester et al. 2021, "The power of scale for parameter-efficient prompt tuning",
    section 2, and section 3.2 for the beginning from the vectors of tokens drawn at random.
    """

    def __init__(
        self, base: nn.Embedding, tokens: int, *, generator: torch.Generator | None = None
    ) -> None:
        """Stand in an embedding's place, with ``tokens`` virtual ones.

        Their vectors are the parameter ``prompt`` (V, C), float32. Each begins as a copy of a
        token's vector; the generator draws which, and one may come twice.
        """
        super().__init__()
        self.base = base.requires_grad_(False)
        self.vocabulary, self.tokens = base.num_embeddings, tokens
        drawn = torch.randint(self.vocabulary, (tokens,), generator=generator)
        self.prompt = nn.Parameter(base.weight.detach()[drawn.to(base.weight.device)].float())

    @property
    def weight(self) -> Tensor:
        """The vocabulary's vectors (vocabulary, C)."""
        return self.base.weight

    def before(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) with those of the virtual tokens before them, (B, V + T)."""
        virtual = torch.arange(self.vocabulary, self.vocabulary + self.tokens, device=ids.device)
        return torch.cat((virtual.expand(len(ids), -1), ids), dim=1)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to vectors (B, T, C)."""
        x: Tensor = self.base(ids.clamp(max=self.vocabulary - 1))
        virtual = ids >= self.vocabulary
        if not virtual.any():
            return x
        vectors = self.prompt[ids[virtual] - self.vocabulary].to(x.dtype)
        return x.index_put((virtual,), vectors)
