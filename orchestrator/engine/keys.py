"""Keys: what a result is called.

A key is made of what led to a result: the stage and its version, the config, the weights, the seed and the keys of the
inputs. No tensor is ever hashed; source media are, once, by their bytes. The same key is the same result, in any run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.flow.plan import WiredNode
from orchestrator.models.bundle import Bundle


def node_key(node: WiredNode, bundle: Bundle, seed: int, dtype: str, inputs: Mapping[str, Any]) -> str:
    """The key of a node's results. `inputs` maps ports to handles (tuples of them for `many` ports)."""
    stage = node.stage
    parts = stage.parts(node.types)
    made_of = {
        "stage": [stage.name, stage.version],
        "config": stage.config.model_dump(mode="json"),
        "weights": {part: bundle.fingerprint(part) for part in parts},
        "dtype": dtype if parts else "",
        "seed": seed if stage.random else None,
        "inputs": inputs,
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def literal_key(text: str) -> str:
    """The key of a text that stands in the flow itself."""
    return hashlib.sha256(b"literal\0" + text.encode()).hexdigest()
