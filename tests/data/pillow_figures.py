#!/usr/bin/env python3
"""Figures of Pillow that formats_test holds this reader against: resized PNG channels and decoded WebP files.

usage: pillow_figures.py [--check] SITE...   (SITE: folders of wheels; deploy/install-deps.sh makes them)
Writes tests/data/pillow_figures.json; with --check compares with it instead. Exit code 77 and a line: skipped, because
a wheel is not there.
"""
import base64
import io
import json
import sys
import zlib
from pathlib import Path

FIGURES = Path(__file__).with_suffix(".json")
sys.path[:0] = [site for site in sys.argv[1:] if site and site != "--check"]
try:
    import numpy
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing}; deploy/install-deps.sh fetches pillow and numpy")
    sys.exit(77)

# channels, bits, height, width, crop (top, left, height, width), resized (height, width)
VIEWS = [
    (1, 16, 90, 120, (0, 0, 90, 120), (32, 32)),
    (1, 16, 90, 120, (7, 11, 61, 53), (32, 48)),
    (1, 16, 20, 30, (2, 3, 10, 12), (33, 29)),
    (1, 16, 200, 40, (0, 0, 200, 40), (24, 40)),
    (2, 16, 64, 64, (1, 2, 60, 50), (16, 16)),
    (3, 16, 64, 80, (5, 0, 40, 80), (40, 24)),
    (4, 16, 64, 64, (0, 0, 64, 64), (64, 64)),
    (1, 8, 90, 120, (7, 11, 61, 53), (32, 48)),
    (2, 8, 64, 64, (1, 2, 60, 50), (16, 16)),
    (4, 8, 200, 40, (0, 0, 200, 40), (24, 40)),
]


def values(channels, bits, height, width):
    """As PixelValue of formats_test.cc."""
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    wide = (x * 2731 + y * 977 + c * 12345 + x * y % 7919 * 8) % 65536
    return wide.astype(numpy.uint16) if bits == 16 else (wide // 256).astype(numpy.uint8)


def view_figure(channels, bits, height, width, crop, resized):
    top, left, crop_height, crop_width = crop
    image = values(channels, bits, height, width)
    planes = b""
    for c in range(channels):
        plane = Image.fromarray(numpy.ascontiguousarray(image[:, :, c]))
        cut = plane.crop((left, top, left + crop_width, top + crop_height))
        view = numpy.asarray(cut.resize(resized[::-1], Image.Resampling.BILINEAR))
        planes += view.astype("<u2" if bits == 16 else "u1").tobytes()
    return {"channels": channels, "bits": bits, "size": [height, width], "crop": list(crop), "resized": list(resized),
            "crc32": zlib.crc32(planes)}


def webp_figures():
    kept = json.loads(FIGURES.read_text())["webp"] if "--check" in sys.argv else None
    y, x = numpy.mgrid[0:47, 0:61]
    colours = numpy.stack([x * 4, y * 5, (x + y) * 2, 255 - x * 3], axis=2).astype(numpy.uint8)
    rgb, rgba = Image.fromarray(colours[:, :, :3].copy()), Image.fromarray(colours)
    recipes = {"lossy": (rgb, {"quality": 80}), "lossless": (rgb, {"lossless": True}),
               "alpha": (rgba, {"quality": 70}), "lossless alpha": (rgba, {"lossless": True}),
               "animation": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)], "duration": 40})}
    figures = []
    for number, (name, (image, options)) in enumerate(recipes.items()):
        if kept:  # Encoders change; what is decoded from one file does not.
            file = base64.b64decode(kept[number]["file"])
        else:
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", **options)
            file = buffer.getvalue()
        decoded = Image.open(io.BytesIO(file)).convert("RGB")
        figures.append({"name": name, "size": [decoded.height, decoded.width], "crc32": zlib.crc32(decoded.tobytes()),
                        "file": base64.b64encode(file).decode()})
    return figures


def main():
    figures = {"views": [view_figure(*view) for view in VIEWS], "webp": webp_figures()}
    if "--check" not in sys.argv:
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
        return 0
    if figures == json.loads(FIGURES.read_text()):
        print("pillow_figures.json is what Pillow gives")
        return 0
    print("pillow_figures.json differs from what Pillow gives; look at why before writing it again")
    return 1


if __name__ == "__main__":
    sys.exit(main())
