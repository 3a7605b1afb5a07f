#!/usr/bin/env python3
"""What loader_bench measures itself against: the published transform by Pillow and torchvision.

v1: Pillow decodes, torchvision.transforms crops and resizes the Pillow image. v2: torchvision.io decodes to a tensor,
torchvision.transforms.v2 does the rest. loader: a DataLoader over v1, as the original trains. Stage uint8 ends with a
batch of uint8 crops, fp32 with a normalised fp32 batch. One thread each; files are in memory.

usage: torchvision_baseline.py --serve TAR [--size N] [--images N]
Prints "ready"; then each line "IMPL STAGE" of its input is answered by "WALL CPU", seconds for one pass.
Pillow, torchvision and numpy come from the pins "peer" of deploy/dependencies.txt, into a cached folder of their own.
"""
import argparse
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH = 50
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = (0.3, 1.0)


def use_pinned_wheels():
    pins = [line.split()[1:3] for line in (ROOT / "deploy/dependencies.txt").read_text().splitlines()
            if line.startswith("peer ")]
    wanted = [f"{name}=={version}" for name, version in pins]
    cache = Path(os.environ.get("IJEPA_DEPS_CACHE", Path.home() / ".cache/ijepa"))
    folder = cache / f"peers-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check",
                        "--root-user-action=ignore", "--target", str(part), *wanted], check=True, stdout=sys.stderr)
        part.rename(folder)
    # torch itself is LibTorch's wheel, which deploy/install-deps.sh keeps.
    wheels = (ROOT / "build/deps.cmake").read_text().split('"')[1]
    sys.path[:0] = [str(folder), f"{wheels}/site"]


def read_files(path, limit):
    with tarfile.open(path) as tar:
        members = sorted((m for m in tar if m.isfile()), key=lambda m: m.name)[:limit]
        return [tar.extractfile(m).read() for m in members]


class Contenders:
    def __init__(self, files, size):
        import torch
        from PIL import Image
        from torchvision import io as tv_io
        from torchvision import transforms as v1
        from torchvision.transforms import v2
        torch.set_num_threads(1)
        self.torch, self.image, self.tv_io = torch, Image, tv_io
        self.files = files
        self.tensors = [torch.frombuffer(bytearray(f), dtype=torch.uint8) for f in files]
        crop1 = v1.RandomResizedCrop(size, scale=SCALE)
        crop2 = v2.RandomResizedCrop(size, scale=SCALE, antialias=True)
        self.v1 = {"uint8": v1.Compose([crop1, v1.PILToTensor()]),
                   "fp32": v1.Compose([crop1, v1.ToTensor(), v1.Normalize(MEAN, STD)])}
        self.v2 = {"uint8": crop2,
                   "fp32": v2.Compose([crop2, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])}

    def pillow(self, index, stage):
        return self.v1[stage](self.image.open(io.BytesIO(self.files[index])).convert("RGB"))

    def tensor(self, index, stage):
        return self.v2[stage](self.tv_io.decode_image(self.tensors[index], mode="RGB"))

    def run(self, impl, stage):
        if impl == "torchvision_loader":
            return self.run_loader(stage)
        view = self.pillow if impl == "torchvision_v1" else self.tensor
        for begin in range(0, len(self.files), BATCH):
            self.torch.stack([view(i, stage) for i in range(begin, min(begin + BATCH, len(self.files)))])

    def run_loader(self, stage):
        contenders = self

        class Files(self.torch.utils.data.Dataset):
            def __len__(self):
                return len(contenders.files)

            def __getitem__(self, index):
                return contenders.pillow(index, stage), 0

        for _ in self.torch.utils.data.DataLoader(Files(), batch_size=BATCH, shuffle=True, drop_last=True):
            pass


def serve(contenders):
    print("ready", flush=True)
    for line in sys.stdin:
        impl, stage = line.split()
        wall, cpu = time.monotonic(), time.process_time()
        contenders.run(impl, stage)
        print(time.monotonic() - wall, time.process_time() - cpu, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", required=True, metavar="TAR")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    use_pinned_wheels()
    serve(Contenders(read_files(arguments.serve, arguments.images), arguments.size))


if __name__ == "__main__":
    main()
