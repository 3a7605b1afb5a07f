#!/usr/bin/env python3
"""Writes corpus/torch_file: small files of torch.save, the pickles in them, and attacks. Needs torch.

usage: make_corpus.py FOLDER
"""
import collections
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch

ONE, THREE = torch.ones(1), torch.ones(3)  # Storages 0 and 1 of torch_file_fuzz.cc.


class Attack:
    def __reduce__(self):
        return os.system, ("true",)


def block(prefix):
    shapes = {"norm1.weight": (1,), "norm1.bias": (1,), "attn.qkv.weight": (3, 1), "attn.qkv.bias": (3,),
              "attn.proj.weight": (1, 1), "attn.proj.bias": (1,), "norm2.weight": (1,), "norm2.bias": (1,),
              "mlp.fc1.weight": (1, 1), "mlp.fc1.bias": (1,), "mlp.fc2.weight": (1, 1), "mlp.fc2.bias": (1,)}
    return {prefix + name: shape for name, shape in shapes.items()}


def dictionary(shapes):
    return collections.OrderedDict(
        ("module." + name, (THREE if 3 in shape else ONE).view(shape)) for name, shape in shapes.items())


def training_state():
    """A model whose every size is 1."""
    encoder = {"pos_embed": (1, 1, 1), "patch_embed.proj.weight": (1, 1, 1, 1), "patch_embed.proj.bias": (1,),
               **block("blocks.0."), "norm.weight": (1,), "norm.bias": (1,)}
    predictor = {"mask_token": (1, 1, 1), "predictor_pos_embed": (1, 1, 1), "predictor_embed.weight": (1, 1),
                 "predictor_embed.bias": (1,), **block("predictor_blocks.0."), "predictor_norm.weight": (1,),
                 "predictor_norm.bias": (1,), "predictor_proj.weight": (1, 1), "predictor_proj.bias": (1,)}
    groups, state = [], {}
    for decayed in (True, False):
        for network in (encoder, predictor):
            numbers = []
            for name, shape in network.items():
                if (len(shape) > 1) != decayed:
                    continue
                number = sum(len(g["params"]) for g in groups) + len(numbers)
                numbers.append(number)
                if "pos_embed" not in name:
                    tensor = (THREE if 3 in shape else ONE).view(shape)
                    state[number] = {"step": ONE.view(()), "exp_avg": tensor, "exp_avg_sq": tensor}
            groups.append({"lr": 0.1, "betas": (0.9, 0.999), "weight_decay": 0.0, "params": numbers})
    return {"encoder": dictionary(encoder), "predictor": dictionary(predictor), "target_encoder": dictionary(encoder),
            "opt": {"state": state, "param_groups": groups}, "scaler": {"scale": 65536.0, "_growth_tracker": 10},
            "epoch": 2, "loss": 0.5, "batch_size": 4, "world_size": 1, "lr": 0.001}


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    state = saved(training_state())
    files = {
        "state.pkl": zipfile.ZipFile(io.BytesIO(state)).read("archive/data.pkl"),
        "plain.zip": saved({"a": torch.arange(6.0).view(2, 3), "b": torch.nn.Parameter(torch.ones(2)), "n": 2**40}),
        "strided.zip": saved({"a": torch.arange(6.0).view(2, 3).t(), "s": torch.Size([2, 3])}),
        "attack.zip": saved({"encoder": Attack()}),
        "attack.pkl": pickle.dumps(Attack(), protocol=2),
        "list.pkl": pickle.dumps([1, -1, 2**20, 2**33, 0.5, None, True, "x", (1, 2), {"k": [()]}], protocol=2),
        "protocol4.pkl": pickle.dumps({"a": 1}, protocol=4),
        "deep.pkl": b"\x80\x02]" + b"\x85" * 40 + b".",
        "laughs.pkl": b"\x80\x02(]q\x00" + b"".join(
            b"](" + b"h%c" % (i - 1) * 10 + b"eq%c" % i for i in range(1, 10)) + b"t.",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
