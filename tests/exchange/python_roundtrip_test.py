#!/usr/bin/env python3
"""What ijepactl writes, read by torch, transformers and timm themselves, and what they write, read by ijepactl.

usage: python_roundtrip_test.py IJEPACTL SITE...   (SITE: folders of wheels; deploy/install-deps.sh makes them)
Exit code 77 and a line: skipped, because a wheel is not there.
"""
import collections
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

IJEPACTL = sys.argv[1]
sys.path[:0] = [site for site in sys.argv[2:] if site]
sys.dont_write_bytecode = True
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1"})
try:
    import safetensors.torch
    import timm
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}; deploy/install-deps.sh fetches torch, transformers, timm and safetensors")
    sys.exit(77)

GOLDENS = Path(os.environ.get("IJEPA_GOLDENS") or "../shared/goldens")
TOLERANCE = 1e-5


def run(*arguments):
    return subprocess.run([IJEPACTL, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def must(*arguments):
    result = run(*arguments)
    if result.returncode != 0:
        raise AssertionError(f"{arguments}: {result.stderr}")
    return result


def differences(ours, theirs, path=""):
    """Paths at which two trees of dicts, lists and tensors are not the same, bit for bit."""
    if isinstance(theirs, torch.Tensor):
        same = isinstance(ours, torch.Tensor) and ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        return [] if same else [path]
    if type(ours) is not type(theirs):
        return [f"{path}: {type(ours)} is not {type(theirs)}"]
    if isinstance(theirs, dict):
        found = [] if set(ours) == set(theirs) else [f"{path}: keys {set(ours) ^ set(theirs)}"]
        if isinstance(theirs, collections.OrderedDict) and list(ours) != list(theirs):
            found.append(f"{path}: order of keys")
        return found + [d for key in theirs if key in ours for d in differences(ours[key], theirs[key], f"{path}/{key}")]
    if isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return [f"{path}: length"]
        return [d for i, pair in enumerate(zip(ours, theirs)) for d in differences(*pair, f"{path}/{i}")]
    return [] if ours == theirs else [f"{path}: {ours} is not {theirs}"]


def table(height, width, dim):
    """The sin-cos table, ijepa-spec 1.2."""
    omega = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    parts = [f(p.reshape(-1, 1) * omega) for p in (column, row) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, 1).float().reshape(1, height * width, dim)


def timm_model(**changes):
    arguments = dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2.0, num_classes=0,
                     class_token=False, global_pool="avg", fc_norm=False)
    return timm.models.vision_transformer.VisionTransformer(**{**arguments, **changes}).eval()


class RoundTrip(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        torch.manual_seed(1)

    def golden(self, kind):
        if not (GOLDENS / kind).is_dir():
            self.skipTest(f"no golden set {GOLDENS / kind}; IJEPA_GOLDENS names another folder")
        return GOLDENS / kind

    def sidecars(self, kind, what, holds):
        """(path, JSON) of each sidecar for which `holds`; a kind that is there must have one."""
        paths = sorted(self.golden(kind).glob("*.json"))
        found = [(path, side) for path in paths for side in [json.loads(path.read_text())] if holds(side)]
        self.assertTrue(found, f"{GOLDENS / kind} has no sidecar with {what}")
        return found

    def checkpoints(self):
        """(path, heads) of the files of the set f_checkpoint, as their sidecar names them."""
        return [(path.parent / name, side["config"]["heads"])
                for path, side in self.sidecars("f_checkpoint", "files", lambda side: "files" in side)
                for name in sorted(side["files"])]

    def model_folder(self):
        """The folder of the set g_hf_export that transformers reads."""
        found = [config.parent for config in self.golden("g_hf_export").glob("*/config.json")]
        self.assertTrue(found, f"{GOLDENS / 'g_hf_export'} has no folder with a config.json")
        return found[0]

    def tensor(self, kind, name):
        path, _ = self.sidecars(kind, f"the tensor {name}", lambda side: name in side.get("tensors", {}))[0]
        return safetensors.torch.load_file(path.with_suffix(".safetensors"))[name]

    def test_training_state_comes_back_equal(self):
        for file, heads in self.checkpoints():
            must("import", file, self.folder / file.stem, "--heads", heads)
            must("export", self.folder / file.stem, "--format", "pth", self.folder / f"{file.stem}-out")
            ours = torch.load(self.folder / f"{file.stem}-out" / "jepa-latest.pth.tar", weights_only=True)
            theirs = torch.load(file, weights_only=True)
            self.assertEqual(differences(ours, theirs), [])
            print(f"{file.name}: {len(theirs['opt']['state'])} moments, all tensors and figures equal")

    def test_transformers_loads_the_export_whole(self):
        must("export", self.model_folder(), "--format", "hf", self.folder / "hf")
        model, info = transformers.IJepaModel.from_pretrained(self.folder / "hf", output_loading_info=True)
        self.assertFalse(info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"], info)
        self.assertEqual(model.config.layer_norm_eps, 1e-6)
        pixels = self.tensor("g_hf_export", "pixel_values")
        expected = self.tensor("g_hf_export", "last_hidden_state")
        with torch.no_grad():
            difference = (model.eval()(pixels).last_hidden_state - expected).abs().max().item()
        print(f"transformers {transformers.__version__}: max difference {difference:.2e}")
        self.assertLessEqual(difference, TOLERANCE)

    def test_timm_loads_the_export_strictly(self):
        must("export", self.model_folder(), "--format", "timm", self.folder / "timm")
        config = json.loads((self.folder / "timm" / "config.json").read_text())
        model = timm.models.vision_transformer.VisionTransformer(num_classes=0, **config["model_args"])
        weights = safetensors.torch.load_file(self.folder / "timm" / "model.safetensors")
        model.load_state_dict(weights, strict=True)
        by_name = timm.create_model(f"local-dir:{self.folder / 'timm'}", pretrained=True)
        pixels = self.tensor("g_hf_export", "pixel_values")
        expected = self.tensor("g_hf_export", "last_hidden_state")
        with torch.no_grad():
            difference = max((m.eval().forward_features(pixels) - expected).abs().max().item() for m in (model, by_name))
            pooled = (model(pixels) - expected.mean(1)).abs().max().item()
        print(f"timm {timm.__version__}: max difference {difference:.2e}, pooled {pooled:.2e}")
        self.assertLessEqual(max(difference, pooled), TOLERANCE)

    def test_context_encoder_of_a_training_state(self):
        file, heads = self.checkpoints()[0]
        state = torch.load(file, weights_only=True)
        for encoder, key in (("target", "target_encoder"), ("context", "encoder")):
            out = self.folder / encoder
            must("export", file, "--heads", heads, "--format", "timm", "--encoder", encoder, out)
            ours = safetensors.torch.load_file(out / "model.safetensors")
            theirs = {name.removeprefix("module."): value for name, value in state[key].items()}
            self.assertEqual(differences(ours, theirs), [])

    def test_files_of_torch_and_timm_are_imported(self):
        model = timm_model()
        weights = model.state_dict()
        weights["pos_embed"] = table(4, 4, 24)
        views = {key: value.t().contiguous().t() if value.ndim == 2 else value for key, value in weights.items()}
        self.assertFalse(views["blocks.0.attn.qkv.weight"].is_contiguous())
        torch.save(weights, self.folder / "plain.pth")
        torch.save(views, self.folder / "views.pth")
        torch.save({k: torch.nn.Parameter(v) for k, v in weights.items()}, self.folder / "parameters.pth")
        safetensors.torch.save_file(weights, self.folder / "plain.safetensors")
        for name in ("plain.pth", "views.pth", "parameters.pth", "plain.safetensors"):
            must("import", self.folder / name, self.folder / f"{name}-in", "--heads", "3")
            must("export", self.folder / f"{name}-in", "--format", "timm", self.folder / f"{name}-out")
            ours = safetensors.torch.load_file(self.folder / f"{name}-out" / "model.safetensors")
            self.assertEqual(differences(ours, dict(weights)), [], name)

    def test_a_rectangle_comes_back_from_every_format(self):
        sizes = {"img_size": (16, 64)}  # 4x16 patches, as many as 8x8 has.
        weights = timm_model(**sizes).state_dict()
        weights["pos_embed"] = table(4, 16, 24)
        torch.save(weights, self.folder / "wide.pth")
        must("import", self.folder / "wide.pth", self.folder / "wide", "--heads", "3")
        for kind in ("hf", "timm", "safetensors"):
            must("export", self.folder / "wide", "--format", kind, self.folder / kind)
            result = must("import", self.folder / kind, self.folder / f"{kind}-in", "--crop-size", "24x40")
            self.assertIn("grid 6x10", result.stderr)
            self.assertNotIn("interpolated", result.stderr)
            must("export", self.folder / f"{kind}-in", "--format", "timm", self.folder / f"{kind}-out")
            ours = safetensors.torch.load_file(self.folder / f"{kind}-out" / "model.safetensors")
            self.assertTrue(torch.equal(ours["pos_embed"], table(6, 10, 24)), kind)
        model, info = transformers.IJepaModel.from_pretrained(self.folder / "hf", output_loading_info=True)
        self.assertFalse(info["missing_keys"] or info["mismatched_keys"], info)
        self.assertEqual(list(model.config.image_size), [16, 64])

    def test_tables_of_another_size(self):
        weights = timm_model().state_dict()
        for kind, positions in (("sin-cos", table(4, 4, 24)), ("learnt", torch.randn(1, 16, 24))):
            weights["pos_embed"] = positions
            source, made = self.folder / f"{kind}.safetensors", self.folder / kind
            safetensors.torch.save_file(weights, source)
            result = must("import", source, made, "--heads", "3", "--crop-size", "28")
            must("export", made, "--format", "timm", self.folder / f"{kind}-out")
            ours = safetensors.torch.load_file(self.folder / f"{kind}-out" / "model.safetensors")["pos_embed"]
            grid = positions.reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
            bicubic = torch.nn.functional.interpolate(grid, size=(7, 7), mode="bicubic").permute(0, 2, 3, 1)
            expected = table(7, 7, 24) if kind == "sin-cos" else bicubic.reshape(1, 49, 24)
            difference = (ours - expected).abs().max().item()
            print(f"{kind} table on a 7x7 grid: max difference {difference:.2e}")
            self.assertLessEqual(difference, 0 if kind == "sin-cos" else TOLERANCE)
            self.assertEqual("interpolated" in result.stderr, kind == "learnt")

    def test_a_pickle_that_runs_code_runs_nothing(self):
        marker = self.folder / "ran"

        class Attack:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        torch.save({"encoder": Attack()}, self.folder / "attack.pth.tar")
        result = run("import", self.folder / "attack.pth.tar", self.folder / "in")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("attack.pth.tar", result.stderr)
        self.assertIn("posix.system", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertFalse(marker.exists() or (self.folder / "in").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
