"""Contract kits: what an author runs over an implementation of their own. Light to import.

In a test of yours: `check_projector(MyProjector)`, `check_stage(MyStage(config), requests=[...])`.
"""

from orchestrator.testing.projectors import check_projector
from orchestrator.testing.stages import StageContext, check_stage

__all__ = ["StageContext", "check_projector", "check_stage"]
