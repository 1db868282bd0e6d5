"""Bundles: what a `bundle.yaml` says, where its parts are, what they are trusted with, and whether they fit. No torch.

from orchestrator.models.bundle import Bundle

Bundle.open("pocket").path("llm")
"""

from orchestrator.models.bundle.bundle import BUNDLE_FILE, GROUPS, SUMS_FILE, Bundle, misfits
from orchestrator.models.bundle.spec import BundleSpec, EncoderSpec, LlmSpec, SignalSpec

__all__ = [
    "BUNDLE_FILE",
    "GROUPS",
    "SUMS_FILE",
    "Bundle",
    "BundleSpec",
    "EncoderSpec",
    "LlmSpec",
    "SignalSpec",
    "misfits",
]
