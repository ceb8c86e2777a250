"""A recipe to begin with: commented YAML that makes the bundled model fit one's own recordings."""

import json

__all__ = ["DEFAULT_STEPS", "STARTER", "starter_recipe"]

DEFAULT_STEPS = 1000
_TEMPLATE = """\
# A recipe for encodec-cli train. docs/recipe.md lists every key; those left out have defaults.
# It goes on from the bundled model, with its networks, and the decoder alone learns: so codes keep
# their meaning, files their size, and a few clips are enough. To train from nothing, leave out
# warm_start, decoder_only and blend and take the other numbers from docs/training.md.

model: ecli_24khz              # networks: a bundled model's name, or a YAML file beside this one
warm_start: [ecli_24khz]       # weights to begin with, by name or path
decoder_only: true             # leave out both to let encoder and codebooks learn as well
blend: true                    # in the end as near to the start as the held out ones score best
output: {output}
licence: unstated              # of the weights, for the model file
training_data: unstated        # what they were made of, for the model file

data:
  # CSV files with the columns file and kind. A file's name is relative to the CSV file; the kind
  # is any word; music, sound and noise do without ESTOI and PESQ when they are validated.
  manifest: {manifest}
  validation: {validation}
  # weights: {{speech: 0.7, music: 0.3}}   # share of the crops by kind; by length without

steps: {steps}                    # 1000 take 10 to 15 minutes of one CPU core
decay: {decay}                     # the last steps, over which the learning rate falls to 0
warmup: {warmup}
batch: 8                       # crops of a second in a step
learning_rate: 2.5e-4
quantizer_start: 0             # the codebooks are there from the first step on
validate_every: 250

loss:                          # each loss's share of the gradient
  spectral: 4.0
  complex: 0.5
  waveform: 0.3
  intelligibility: 2.5         # for speech
  loudness: 2.5
  level: 5.0
  windows: [256, 512, 1024, 2048]
"""


def starter_recipe(output: str, manifest: str, validation: str, steps: int) -> str:
    """The recipe for lists of recordings at these paths; `steps` of 8 seconds of audio."""
    return _TEMPLATE.format(
        output=_scalar(output),
        manifest=_scalar(manifest),
        validation=_scalar(validation),
        steps=steps,
        decay=max(1, steps * 19 // 20),
        warmup=min(50, steps // 10),
    )


def _scalar(text: str) -> str:
    """As YAML writes it: JSON strings are YAML."""
    return json.dumps(text)


STARTER = starter_recipe("runs/own", "recordings.csv", "validation.csv", DEFAULT_STEPS)
"""What `train --init` prints."""
