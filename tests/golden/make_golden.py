"""Write the values of Meta's package that `test_meta_parity.py` holds us to.

Usage, from the project's folder, with `encodec` installed:
    PYTHONPATH=.:tests python tests/golden/make_golden.py

Two models of Meta's classes with Meta's rates but few weights, rounded to fp16 so that the files
are small; the values are those of the rounded weights. Run again only to change the recipe.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from meta_models import exact_wave, import_meta, small_meta_model

from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import load_codec_config

FOLDER = Path(__file__).parent


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    for name, samples in (("encodec_24khz", 30001), ("encodec_48khz", 52000)):
        model = small_meta_model(name)
        state = {key: value.half() for key, value in model.state_dict().items()}
        model.load_state_dict({key: value.float() for key, value in state.items()})
        x = torch.from_numpy(exact_wave(samples, model.channels))[None]
        with torch.no_grad():
            frames = model.encode(x)
            audio = model.decode(frames)[0, :, :samples]
            segments = [
                x[..., start : start + (model.segment_length or samples)]
                for start in range(0, samples, model.segment_stride or samples)
            ]
            scales = [torch.ones(1) if scale is None else scale[0] for _, scale in frames]
            latents = [model.encoder(s / scale) for s, scale in zip(segments, scales, strict=True)]
        values: dict[str, Any] = {
            "config": json.dumps(config(name, model)),
            "codes": torch.cat([codes[0] for codes, _ in frames], 1).numpy().astype(np.uint16),
            "latents": torch.cat(latents, 2)[0].numpy(),
            "every_7th_sample": audio[:, ::7].numpy(),
            "ecdc": np.frombuffer(import_meta().compress(model, x[0]), np.uint8),
        }
        if model.normalize:
            values["scales"] = torch.cat(scales).numpy()
        # The codebooks' training state plays no part.
        kept = {k: v for k, v in state.items() if not k.endswith(("inited", "size", "embed_avg"))}
        values |= {f"state.{key}": value.numpy() for key, value in kept.items()}
        np.savez_compressed(FOLDER / f"{name}.npz", **values)
        print(name, (FOLDER / f"{name}.npz").stat().st_size, "bytes")


def config(name: str, model: Any) -> dict[str, Any]:
    """Our config of the small model."""
    data = load_codec_config(configs_folder() / f"{name}.yaml").to_dict()
    data["seanet"] |= {"n_filters": 2, "dimension": 4, "lstm": 1 if model.channels == 1 else 0}
    data["seanet"]["norm"] = "none" if model.channels == 1 else "time_group_norm"
    data["quantizer"]["n_q"] = 2
    return data | {"target_bandwidths": model.target_bandwidths}


if __name__ == "__main__":
    main()
