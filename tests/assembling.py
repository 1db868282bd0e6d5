"""Bundles put together from tiny checkpoints of any family, with projectors that nobody has trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from tests import tiny, tiny_audio, tiny_encoders, tiny_generators
from tests.generating import CASES

Maker = Callable[[Path], Path]
CHATML = (
    "{% for message in messages %}<s>{{ message.role }} {{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant {% endif %}"
)
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
LLMS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": SIZES,
    "Qwen2ForCausalLM": {**SIZES, "tie_word_embeddings": True},
    "Qwen3ForCausalLM": {**SIZES, "head_dim": 8},
    "GPT2LMHeadModel": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "OPTForCausalLM": {
        **{name: SIZES[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
        "ffn_dim": 32,
        "word_embed_proj_dim": 8,
        "max_position_embeddings": 512,
    },
}
QUICK = {"steps": 1, "guidance": 2.0}
SMALL = {"hidden_dim": 16, "layers": 1, "heads": 2, "ffn_dim": 16}
# modality -> pipeline's class -> its maker and settings
PICTURE = {"width": tiny.SIDE, "height": tiny.SIDE}
GENERATORS: dict[str, dict[str, tuple[Maker, dict[str, Any]]]] = {
    "image": {"StableDiffusionPipeline": (tiny.image_generator, PICTURE)},
    "video": {"TextToVideoSDPipeline": (tiny.video_generator, {**PICTURE, "frames": 4, "fps": 8})},
    "audio": {
        "AudioLDMPipeline": (tiny_audio.audioldm, {"seconds": tiny_audio.SECONDS}),
        "AudioLDM2Pipeline": (tiny_audio.audioldm2, {"seconds": tiny_audio.SECONDS}),
    },
}
MODALITY = {
    "WanPipeline": "video",
    "LTXPipeline": "video",
    "CogVideoXPipeline": "video",
    "StableAudioPipeline": "audio",
}
for _name, _make in tiny_generators.GENERATORS.items():
    GENERATORS[MODALITY.get(_name, "image")][_name] = (_make, CASES[_name].size)
OUT_KINDS: dict[str, dict[str, Any]] = {"linear": {}, "mlp": {}, "transformer": SMALL, "query": {**SMALL, "heads": 1}}


def llm(folder: Path, model: str) -> Path:
    """An LLM as the hub has it: its tokenizer has a chat template, and knows no signal tokens."""
    import transformers

    words, made = tiny.tokenizer({}), getattr(transformers, model)
    words.chat_template = CHATML
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    tiny.seeded()
    made(made.config_class(**LLMS[model], **ends, vocab_size=len(words))).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def assemble(folder: Path, spec: Mapping[str, Any], projectors: Mapping[str, tuple[str, dict[str, Any]]]) -> Path:
    """Write a bundle and projectors (part -> kind and config) that begin at random."""
    from orchestrator.models.bundle.manifest import new_projector, save_projector

    groups: dict[str, Any] = {"input_projectors": {}, "output_projectors": {}}
    for part in projectors:
        group, _, modality = part.partition(".")
        groups[group][modality] = {"path": part}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump({**spec, **groups}, sort_keys=False))
    made = Bundle.open(folder)
    tiny.seeded()
    for part, (kind, config) in projectors.items():
        module: Any = new_projector(made, part, kind, "tests/assembling.py", **config)
        save_projector(module, module.manifest, folder / part)
    return folder


TWINS: dict[str, Maker] = {  # repositories of the bundles that ship -> tiny checkpoints of their classes
    "Qwen/Qwen2.5-7B-Instruct": lambda folder: llm(folder, "Qwen2ForCausalLM"),
    "Qwen/Qwen2.5-1.5B-Instruct": lambda folder: llm(folder, "Qwen2ForCausalLM"),
    "Qwen/Qwen3-4B-Instruct-2507": lambda folder: llm(folder, "Qwen3ForCausalLM"),
    "openai/clip-vit-large-patch14": lambda folder: tiny_encoders.whole(folder, "clip", "CLIPModel"),
    "google/siglip2-base-patch16-224": lambda folder: tiny_encoders.whole(folder, "siglip", "SiglipModel"),
    "google/siglip2-so400m-patch14-384": lambda folder: tiny_encoders.whole(folder, "siglip", "SiglipModel"),
    "openai/whisper-small": tiny_audio.whisper_encoder,
    "openai/whisper-large-v3-turbo": tiny_audio.whisper_encoder,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": tiny.image_generator,
    "cerspense/zeroscope_v2_576w": tiny.video_generator,
    "cvssp/audioldm2": tiny_audio.audioldm2,
    "black-forest-labs/FLUX.1-schnell": lambda folder: tiny_generators.flux(folder, distilled=False),
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": tiny_generators.GENERATORS["WanPipeline"],
    "stabilityai/stable-audio-open-1.0": tiny_generators.GENERATORS["StableAudioPipeline"],
}


def twin(name: str, folder: Path, checkpoints: Path) -> Path:
    """A bundle that ships, with tiny checkpoints in place of its repositories, smaller media, and new projectors."""
    from orchestrator.models import facts

    spec = yaml.safe_load((Bundle.open(name).root / BUNDLE_FILE).read_text())
    every = [spec["llm"], *(part for group in ("encoders", "generators") for part in spec[group].values())]
    for part in {id(part): part for part in every}.values():  # YAML's anchors make one of two
        place = checkpoints / part.pop("hub").replace("/", "--")
        if not place.exists():
            TWINS[next(hub for hub in TWINS if hub.replace("/", "--") == place.name)](place)
        part.pop("revision", None)
        part["checkpoint"] = str(place)
    for modality, part in spec["generators"].items():
        part["settings"] |= QUICK | GENERATORS[modality][facts.pipeline_class(Path(part["checkpoint"]))][1]
    small = {**SMALL, "concepts": [4], "num_tokens": 2}
    ins = {f"input_projectors.{modality}": ("grouping", small) for modality in spec["encoders"]}
    outs = {f"output_projectors.{modality}": ("transformer", SMALL) for modality in spec["generators"]}
    return assemble(folder, spec, ins | outs)
