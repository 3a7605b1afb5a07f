"""The I-JEPA training step as one writes it in PyTorch, the peer of step_bench.

Reads one JSON object per line on standard input and answers each with one line: first the configuration (with a file of
initial weights and pixels, so that both sides compute the same numbers), then the masks of a step at a time.

impl "eager": autograd, attention from matmul and softmax, AdamW and EMA tensor by tensor.
impl "eager_strong": scaled_dot_product_attention, fused AdamW, foreach EMA.
"""
import json
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")  # torch without numpy says so
import torch  # noqa: E402
from torch import nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Attention(nn.Module):
    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_SnD):
        S, n, D = x_SnD.shape
        q, k, v = self.qkv(x_SnD).reshape(S, n, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-2, -1)) * (D // self.heads) ** -0.5).softmax(dim=-1) @ v
        return self.proj(y.transpose(1, 2).reshape(S, n, D))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden, fused):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, fused)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def position_table(height, width, dim):
    omega = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows = torch.arange(height, dtype=torch.float64).repeat_interleave(width)[:, None] * omega
    columns = torch.arange(width, dtype=torch.float64).repeat(height)[:, None] * omega
    return torch.cat([columns.sin(), columns.cos(), rows.sin(), rows.cos()], dim=1).float()[None]


def gather(x_BND, blocks):
    return torch.cat([torch.gather(x_BND, 1, m[..., None].expand(-1, -1, x_BND.size(-1))) for m in blocks])


class Encoder(nn.Module):
    def __init__(self, c, fused):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, c["embed_dim"], c["patch"], c["patch"])
        self.blocks = nn.ModuleList(
            [Block(c["embed_dim"], c["num_heads"], c["mlp_hidden"], fused) for _ in range(c["depth"])])
        self.norm = nn.LayerNorm(c["embed_dim"], eps=1e-6)
        self.register_buffer("pos_embed", position_table(c["grid_height"], c["grid_width"], c["embed_dim"]))

    def forward(self, images, blocks=None):
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.pos_embed
        if blocks is not None:
            x = gather(x, blocks)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, c, fused):
        super().__init__()
        width = c["pred_embed_dim"]
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.predictor_embed = nn.Linear(c["embed_dim"], width)
        self.predictor_blocks = nn.ModuleList(
            [Block(width, c["num_heads"], c["pred_mlp_hidden"], fused) for _ in range(c["pred_depth"])])
        self.predictor_norm = nn.LayerNorm(width, eps=1e-6)
        self.predictor_proj = nn.Linear(width, c["embed_dim"])
        self.register_buffer("pos_embed", position_table(c["grid_height"], c["grid_width"], width))

    def forward(self, z, context, target):
        images = context[0].size(0)
        positions = self.pos_embed.expand(images, -1, -1)
        x = self.predictor_embed(z) + gather(positions, context)
        masked = self.mask_token + gather(positions, target)
        masked = torch.cat([m for m in masked.split(images) for _ in context])
        x = torch.cat([x.repeat(len(target), 1, 1), masked], dim=1)
        for block in self.predictor_blocks:
            x = block(x)
        return self.predictor_proj(self.predictor_norm(x)[:, context[0].size(1):])


class Step:
    """Both networks, the EMA target, AdamW, and one training step."""

    def __init__(self, c):
        strong = c["impl"] == "eager_strong"
        self.encoder, self.target, self.predictor = Encoder(c, strong), Encoder(c, strong), Predictor(c, strong)
        self.load(c)
        for p in self.target.parameters():
            p.requires_grad_(False)
        named = [*self.encoder.named_parameters(), *self.predictor.named_parameters()]
        decay = [p for name, p in named if p.ndim > 1 and "bias" not in name]
        rest = [p for name, p in named if p.ndim == 1 or "bias" in name]
        self.optimizer = torch.optim.AdamW(
            [{"params": decay}, {"params": rest, "weight_decay": 0.0}], lr=c["lr"], betas=tuple(c["betas"]),
            weight_decay=c["weight_decay"], fused=strong, foreach=False if not strong else None)
        self.momentum, self.strong = c["ema"], strong
        self.bf16 = c["precision"] == "bf16"

    def load(self, c):
        """Weights in the order of the published state dicts, then the pixels of the batch."""
        raw = torch.frombuffer(bytearray(open(c["file"], "rb").read()), dtype=torch.uint8)
        at = 0
        with torch.no_grad():
            for p in [*self.encoder.parameters(), *self.predictor.parameters()]:
                p.copy_(raw[at:at + 4 * p.numel()].view(torch.float32).view_as(p))
                at += 4 * p.numel()
        self.target.load_state_dict(self.encoder.state_dict())
        side = (c["grid_height"] * c["patch"], c["grid_width"] * c["patch"])
        self.pixels = raw[at:].view(c["batch"], 3, *side)

    def __call__(self, context, target):
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        images = (self.pixels.float() / 255 - mean) / std
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            with torch.no_grad():
                h = self.target(images)
                h = gather(F.layer_norm(h, (h.size(-1),)), target)
                h = torch.cat([block for block in h.split(images.size(0)) for _ in context])
            z = self.predictor(self.encoder(images, context), context, target)
            loss = F.smooth_l1_loss(z, h)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            online, average = list(self.encoder.parameters()), list(self.target.parameters())
            if self.strong:
                torch._foreach_lerp_(average, online, 1 - self.momentum)
            else:
                for a, p in zip(average, online):
                    a.mul_(self.momentum).add_((1 - self.momentum) * p)
        return loss.item()


def main():
    config = json.loads(sys.stdin.readline())
    torch.set_num_threads(config["threads"])
    step = Step(config)
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        masks = json.loads(line)
        blocks = {kind: [torch.tensor(m).view(config["batch"], -1) for m in masks[kind]] for kind in masks}
        began, cpu = time.perf_counter(), time.process_time()
        loss = step(blocks["context"], blocks["target"])
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(json.dumps({"ms": took * 1e3, "cpu_ms": cpu * 1e3, "loss": loss,
                          "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


if __name__ == "__main__":
    main()
