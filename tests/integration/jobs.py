"""Small jobs for tests: rendered scenes and a tiny model, a second or two of training."""
import subprocess

from cluster import BIN

TINY = """
name: {name}
ranks: {ranks}
data: {{batch_size: 8, crop_size: 32, crop_scale: [0.5, 1.0]}}
mask: {{patch_size: 4, min_keep: 2}}
meta: {{model_name: vit_custom, embed_dim: 32, depth: 2, num_heads: 2, pred_depth: 1, pred_emb_dim: 32}}
optimization: {{epochs: {epochs}, warmup: 1, lr: 1.0e-3, ema: [0.98, 1.0]}}
checkpoint: {{every_steps: {every}, keep_last: 2}}
"""


def render_scenes(folder, count=256, seed=1, size=32):
    """Writes labelled scenes to `folder` and returns it."""
    subprocess.run([str(BIN / "ijepactl"), "data", "scenes", str(folder), "--count", str(count), "--size", str(size),
                    "--seed", str(seed)], check=True, timeout=120, capture_output=True)
    return folder


def write_tiny_job(folder, name="tiny", ranks=2, epochs=4, every=20):
    """A job of epochs * (images / 16) steps; returns the path of its file."""
    path = folder / f"{name}.yaml"
    path.write_text(TINY.format(name=name, ranks=ranks, epochs=epochs, every=every))
    return path
