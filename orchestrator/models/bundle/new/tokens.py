"""Signal tokens for an LLM that has none: a copy of it with more tokens, and more rows where its matrices are full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import BundleError
from orchestrator.models import pretrained

TEMPLATE_FILE = "chat_template.jinja"


def lacking(llm: Path, names: Sequence[str]) -> list[str]:
    """Those of the tokens that its tokenizer does not have. Raises BundleError if it has no tokenizer."""
    from tokenizers import Tokenizer

    file = llm / "tokenizer.json"
    if not file.is_file():
        raise BundleError(f"{llm} has no tokenizer.json")
    known = Tokenizer.from_file(str(file))
    return [name for name in names if known.token_to_id(name) is None]


def speaks(llm: Path) -> bool:
    """Whether its tokenizer has a chat template."""
    config = llm / "tokenizer_config.json"
    return (llm / TEMPLATE_FILE).is_file() or (config.is_file() and '"chat_template"' in config.read_text("utf-8"))


def grow(llm: Path, names: Sequence[str], folder: Path) -> None:
    """Write a copy of the LLM that has these tokens, too; new rows are random, to be trained (`llm.signals`)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from orchestrator.models.loading import LOADING, quiet

    with LOADING, quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(llm, local_files_only=True)
        tokenizer.add_tokens(list(names), special_tokens=True)
        model = pretrained.load(AutoModelForCausalLM, llm, "auto")  # type: ignore[arg-type]  # that of the file
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
