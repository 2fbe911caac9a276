"""Three estimates of the KL divergence from samples, by their log-probabilities alone."""

from torch import Tensor

__all__ = ["k1", "k2", "k3"]

# KL(p || q) is the mean of log(p / q) over samples of p. All three take the log-probabilities of
# such samples under both, in nats, and give a value for each; their mean is the estimate.


def k1(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``log p - log q``: unbiased; single values may be negative.

    Args:
        log_p: log-probabilities of samples of p under p, any shape.
        log_q: of the same samples under q, the same shape.

    Returns:
        The same shape.

    Source: Schulman 2020, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html
    """
    return log_p - log_q


def k2(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``(log p - log q) ** 2 / 2``: biased, by little where p and q are near; never negative.

    The gradient of its mean in p's parameters, with the samples held, is that of the divergence.

    Args and source as `k1`.
    """
    return (log_p - log_q).square() / 2


def k3(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``q / p - 1 - log(q / p)``: unbiased and never negative.

    It is `k1` plus ``q / p - 1``, whose mean under p is 0 and which varies against it. GRPO's
    penalty is this one. Near 0 it is exact to rounding of the difference of the logarithms.

    Args and source as `k1`; Shao et al. 2024, "DeepSeekMath", equation 4.
    """
    log_ratio = log_q - log_p
    return log_ratio.expm1() - log_ratio
