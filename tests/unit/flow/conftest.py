"""The flow of the docs, which tests break in one place each."""

from __future__ import annotations

import pytest

FILM_THIS = """\
flow: film-this
bundle: pocket
inputs:
  image: image
  prompt: {modality: text, default: "Describe the picture, then film it."}
nodes:
  see:    {stage: encode, media: $image}
  align:  {stage: project, features: $see}
  think:  {stage: reason, prompt: $prompt, media: [$align]}
  split:  {stage: decode, reply: $think}
  bridge: {stage: output_project, signal: $split.video}
  film:   {stage: generate, condition: $bridge, steps: 12, seed: 7}
outputs:
  caption: $split.text
  video: $film
"""


@pytest.fixture
def film_this() -> str:
    return FILM_THIS
