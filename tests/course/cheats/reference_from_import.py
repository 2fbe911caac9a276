"""The reference, imported."""

from groundup.models.attention import attention

__all__ = ["attention"]
