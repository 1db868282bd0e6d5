"""Evaluation: text metrics, judged media, the signal bridge against the caption bridge, signals and routes.

from orchestrator.evaluation import evaluate

found = evaluate("eval.yaml", limit=20)
print(found["films"]["shows the concept"])
"""

from orchestrator.evaluation.report import Advanced, Evaluated, Measured, Number
from orchestrator.evaluation.spec import Evaluation
from orchestrator.evaluation.suite import evaluate

__all__ = ["Advanced", "Evaluated", "Evaluation", "Measured", "Number", "evaluate"]
