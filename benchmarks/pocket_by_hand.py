"""`image -> text -> video` as one writes it by hand on transformers and diffusers, with the weights of a bundle.

Nothing is checked, nothing is general, no progress is shown: the least that gives the same caption and film. Prints the
same as `pocket_by_orch.py`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file

from orchestrator.projectors import build  # the projectors are plain modules

BUDGET = 96  # tokens of a reply


class Models:
    """The parts of the bundle that the flow uses."""

    def __init__(self, root: Path) -> None:
        spec = yaml.safe_load((root / "bundle.yaml").read_text())
        encoder, llm = root / spec["encoders"]["image"]["path"], root / spec["llm"]["path"]
        architecture = json.loads((encoder / "config.json").read_text())["architectures"][0]
        self.encoder = getattr(transformers, architecture).from_pretrained(encoder, dtype=torch.float32).eval()
        self.processor = transformers.AutoImageProcessor.from_pretrained(encoder, backend="pil")
        self.words = transformers.AutoTokenizer.from_pretrained(llm)
        self.llm = transformers.AutoModelForCausalLM.from_pretrained(llm, dtype=torch.float32).eval()
        self.read = projector(root / spec["input_projectors"]["image"]["path"])
        self.write = projector(root / spec["output_projectors"]["video"]["path"])
        generator = spec["generators"]["video"]
        self.pipe = diffusers.DiffusionPipeline.from_pretrained(root / generator["path"], dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        self.settings = generator["settings"]
        self.around = spec["llm"].get("media", {}).get("image", "{}").split("{}")
        tokens = {m: [s["token"].format(i) for i in range(s["count"])] for m, s in spec["signals"].items()}
        ids = {m: self.words.convert_tokens_to_ids(names) for m, names in tokens.items()}
        self.film: list[int] = ids["video"]
        self.signals: list[int] = [token for run in ids.values() for token in run]


def projector(folder: Path) -> Any:
    """A projector from its two files."""
    made = json.loads((folder / "projector.json").read_text())
    module = build(made["kind"], **made["config"])
    module.load_state_dict(load_file(folder / "model.safetensors"))
    return module.float().eval()


def embed(models: Models, text: str) -> torch.Tensor:
    """Text -> [n, d]."""
    ids = models.words(text, add_special_tokens=False)["input_ids"]
    return models.llm.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))


def reply(models: Models, prompt: torch.Tensor, budget: int, banned: list[int], ends: list[int]) -> list[int]:
    """What the LLM writes, without the token that ends it."""
    ids = models.llm.generate(
        inputs_embeds=prompt[None],
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=budget,
        do_sample=False,
        suppress_tokens=banned,
        eos_token_id=ends,
        pad_token_id=models.words.pad_token_id,
    )[0].tolist()
    return ids[:-1] if ids[-1] in ends else ids


@torch.no_grad()
def run(models: Models, picture: str, seed: int = 0) -> tuple[str, Any]:
    """The caption, and the frames as uint8 [F, H, W, 3]."""
    words, end = models.words, models.words.eos_token_id
    pixels = models.processor(images=[Image.open(picture).convert("RGB")], return_tensors="pt")["pixel_values"]
    seen = models.read(models.encoder(pixels).pooler_output.flatten(1).unsqueeze(1))[0]
    before, after = models.around
    parts = [embed(models, f"{words.bos_token}<|user|>{before}"), seen]
    parts += [embed(models, text) for text in (after, "Describe the picture.", "<|assistant|>") if text]
    said = reply(models, torch.cat(parts), BUDGET, models.signals, [end])
    text = words.decode(said, skip_special_tokens=True).strip()

    parts = [embed(models, part) for part in (f"{words.bos_token}<|user|>", f"Film this: {text}", "<|assistant|>")]
    prompt = torch.cat(parts)
    film, banned = models.film, [token for token in models.signals if token != models.film[0]]
    said = reply(models, prompt, BUDGET - len(film), banned, [end, film[0]])
    made = models.llm.get_input_embeddings()(torch.tensor([*said, *film]))
    states = models.llm.get_decoder()(inputs_embeds=torch.cat([prompt, made])[None]).last_hidden_state[0]
    condition = models.write((states + torch.cat([prompt, made]))[-len(film) :][None])

    chosen = models.settings
    negative, _ = models.pipe.encode_prompt([str(chosen.get("negative", ""))], models.pipe.device, 1, False)
    frames = models.pipe(
        prompt_embeds=condition,
        negative_prompt_embeds=negative,
        num_inference_steps=chosen["steps"],
        guidance_scale=chosen["guidance"],
        num_frames=chosen["frames"],
        width=chosen["width"],
        height=chosen["height"],
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).frames[0]
    return text, (frames * 255).round().astype("uint8")


def main() -> None:
    """Arguments: the bundle's folder and the picture."""
    bundle, picture = sys.argv[1:]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    models = Models(Path(bundle))
    for _ in range(2):
        begun = time.process_time()
        text, frames = run(models, picture)
        seconds = time.process_time() - begun
    film = hashlib.sha256(frames.tobytes()).hexdigest()
    print(json.dumps({"seconds": seconds, "text": text, "film": film}))


if __name__ == "__main__":
    main()
