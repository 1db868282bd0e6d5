"""Equation 5, L_X-gen: how well a frozen denoiser finds what the scheduler of its pipeline says it predicts.

Shapes: latents z and noise n [B, C, ...], steps t [B]. With a = alphas_cumprod[t], the noisy latents are
sqrt(a) z + sqrt(1 - a) n, of a flow (1 - s) z + s n, and of EDM (z + s n) / sqrt(s^2 + sigma_data^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import BundleError, nearest

if TYPE_CHECKING:
    from torch import Tensor

Predict = Callable[["Tensor", "Tensor"], "Tensor"]  # noisy latents, times -> what is predicted


@dataclass(frozen=True)
class Prediction:
    """A kind of prediction: its target, of z, n, sqrt(a), sqrt(1 - a); and its min-SNR weight (arXiv 2303.09556), of
    the signal-to-noise ratio a / (1 - a) and gamma."""

    target: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    weight: Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Noised:
    """Noisy latents, the times that the denoiser is told, its target, and the weight of each sample's error."""

    latents: Tensor
    times: Tensor
    target: Tensor
    weight: Tensor


PREDICTIONS: dict[str, Prediction] = {
    "epsilon": Prediction(lambda z, n, a, b: n, lambda snr, gamma: (gamma / snr).clamp(max=1)),
    "v_prediction": Prediction(lambda z, n, a, b: a * n - b * z, lambda snr, gamma: snr.clamp(max=gamma) / (snr + 1)),
    "sample": Prediction(lambda z, n, a, b: z, lambda snr, gamma: snr.clamp(max=gamma)),
}


def denoising_loss(
    predict: Predict, scheduler: Any, latents: Tensor, seeds: Sequence[int], snr_gamma: float | None = 5.0
) -> Tensor:
    """The weighted mean of the samples' mean squared errors. Each sample's noise and step follow from its own seed, so
    that it is the same in any batch. `snr_gamma` None weighs all steps alike."""
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    last = scheduler.config.num_train_timesteps
    steps = torch.cat([torch.randint(0, last, (1,), generator=die) for die in dice])
    noise = torch.stack([torch.randn(z.shape, generator=die) for z, die in zip(latents, dice, strict=True)])
    made = noised(scheduler, latents, noise.to(latents), steps.to(latents.device), snr_gamma)
    error = predict(made.latents, made.times).float() - made.target
    return (made.weight * error.square().flatten(1).mean(1)).mean()


def noised(scheduler: Any, latents: Tensor, noise: Tensor, steps: Tensor, snr_gamma: float | None) -> Noised:
    """Latents with noise as of `steps` [B]. Raises BundleError for a scheduler without a noise schedule."""
    if is_flow(scheduler):
        return _flow(scheduler, latents, noise, steps)
    kind = scheduler.config.get("prediction_type", "epsilon")
    if hasattr(scheduler, "precondition_outputs") and kind in ("epsilon", "v_prediction"):
        return _edm(scheduler, latents, noise, steps, snr_gamma)
    if kind not in PREDICTIONS or not hasattr(scheduler, "alphas_cumprod"):
        known = f"{', '.join(PREDICTIONS)} or a flow"
        what = f"{type(scheduler).__name__} with prediction_type '{kind}'"
        raise BundleError(f"nothing can be trained through {what}: it predicts {known}.{nearest(kind, PREDICTIONS)}")
    a = scheduler.alphas_cumprod.to(latents)[steps]  # [B]; not the schedule of a run, which set_timesteps changes
    prediction, snr = PREDICTIONS[kind], a / (1 - a)
    root, rest = (x.sqrt().view(-1, *[1] * (latents.ndim - 1)) for x in (a, 1 - a))  # [B, 1, ...]
    weight = torch.ones_like(snr) if snr_gamma is None else prediction.weight(snr, snr_gamma)
    target = prediction.target(latents, noise, root, rest)
    return Noised(root * latents + rest * noise, steps, target, weight)


def is_flow(scheduler: Any) -> bool:
    """Whether it matches flows: its own kind of class, or a prediction type of others."""
    return hasattr(scheduler, "scale_noise") or scheduler.config.get("prediction_type") == "flow_prediction"


def _flow(scheduler: Any, latents: Tensor, noise: Tensor, steps: Tensor) -> Noised:
    """The target is n - z at any step, all of the same weight (arXiv 2210.02747), at the shifted sigmas."""
    config = scheduler.config
    shift = 1.0 if config.get("use_dynamic_shifting") else config.get("shift", config.get("flow_shift", 1.0))
    sigma = (steps + 1).to(latents) / config.num_train_timesteps
    sigma = shift * sigma / (1 + (shift - 1) * sigma)
    s = sigma.view(-1, *[1] * (latents.ndim - 1))
    times = sigma * config.num_train_timesteps
    return Noised((1 - s) * latents + s * noise, times, noise - latents, torch.ones_like(sigma))


def _edm(scheduler: Any, latents: Tensor, noise: Tensor, steps: Tensor, snr_gamma: float | None) -> Noised:
    """The noise s is uniform in the angle arctan(s / sigma_data), as in training by v (arXiv 2202.00512); the target is
    what the scheduler turns into z (arXiv 2206.00364), which is v or -v, and weighs as that."""
    config = scheduler.config
    least, most = (math.atan(s / config.sigma_data) for s in (config.sigma_min, config.sigma_max))
    share = (steps.to(latents) + 0.5) / config.num_train_timesteps
    sigma = config.sigma_data * torch.tan(least + share * (most - least))  # [B]
    s = sigma.view(-1, *[1] * (latents.ndim - 1))
    noisy = latents + s * noise
    kept = scheduler.precondition_outputs(noisy, torch.zeros_like(noisy), s)
    target = (latents - kept) / scheduler.precondition_outputs(torch.zeros_like(noisy), torch.ones_like(noisy), s)
    snr = (config.sigma_data / sigma).square()
    weight = torch.ones_like(snr) if snr_gamma is None else PREDICTIONS["v_prediction"].weight(snr, snr_gamma)
    return Noised(scheduler.precondition_inputs(noisy, s), scheduler.precondition_noise(sigma), target, weight)
