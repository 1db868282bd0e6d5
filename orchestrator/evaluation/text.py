"""Text metrics: exact match, words that are named, CIDEr and BLEU.

CIDEr is pycocoevalcap's (arXiv 1411.5726) on plain tokens: its own tokenizer needs Java. BLEU is sacrebleu's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from orchestrator.errors import UserError

WORD = re.compile(r"\w+(?:'\w+)?")
EXTRA = "pip install 'orch-mm[train]'"

References = Sequence[Sequence[str]]  # of each text, one or more


def plain(text: str) -> str:
    """Lower-case words without punctuation, one space between them."""
    return " ".join(WORD.findall(text.lower()))


def exact(text: str, references: Sequence[str]) -> bool:
    """Whether a text is one of its references, but for case and punctuation."""
    return plain(text) in {plain(reference) for reference in references}


def names(text: str, words: Sequence[str]) -> bool:
    """Whether a text has any of these words (or groups of them) in it, whole: `a carrot` names no car."""
    return any(f" {plain(word)} " in f" {plain(text)} " for word in words)


def cider(texts: Sequence[str], references: References) -> float:
    """CIDEr of a corpus, times 100 as papers print it. Words that stand in every reference weigh nothing, so it means
    little for a handful of texts."""
    try:
        from pycocoevalcap.cider.cider import Cider
    except ImportError as error:
        raise UserError(f"CIDEr needs pycocoevalcap: {EXTRA}") from error
    said = {i: [plain(text)] for i, text in enumerate(texts)}
    wanted = {i: [plain(reference) for reference in group] for i, group in enumerate(references)}
    score, _ = Cider().compute_score(wanted, said)
    return float(score) * 100


def bleu(texts: Sequence[str], references: References) -> float:
    """BLEU-4 of a corpus, 0 to 100, of lower-case text. Short texts have few n-grams and score low."""
    try:
        import sacrebleu
    except ImportError as error:
        raise UserError(f"BLEU needs sacrebleu: {EXTRA}") from error
    most = max(map(len, references))
    columns: list[Any] = [[group[i] if i < len(group) else None for group in references] for i in range(most)]
    return float(sacrebleu.corpus_bleu(list(texts), columns, lowercase=True).score)
