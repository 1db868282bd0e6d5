"""A bundle of one's own from parts that one has: `make(Wish(...))`. Importing it loads no torch."""

from orchestrator.models.bundle.new.making import Made, make
from orchestrator.models.bundle.new.wish import Wish

__all__ = ["Made", "Wish", "make"]
