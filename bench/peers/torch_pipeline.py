"""PyTorch's side of bench/pipeline.ts: the steps from photo to mesh that it has ops for.

The argument is the number of threads; then one step's name in per line, the milliseconds of one run of it out. Weights are random:
time does not depend on them. Needs torch, nothing else.
"""
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


def separable(ic, oc, stride=1):
    return nn.Sequential(
        nn.Conv2d(ic, ic, 3, stride, 1, groups=ic, bias=False), nn.BatchNorm2d(ic), nn.ReLU(),
        nn.Conv2d(ic, oc, 1, bias=False), nn.BatchNorm2d(oc), nn.ReLU())  # fmt: skip


def mobilenet(width=0.5, outputs=62):
    channels = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), *[(512, 512, 1)] * 5,
                (512, 1024, 2), (1024, 1024, 1)]  # fmt: skip
    c = lambda n: int(n * width)
    blocks = [separable(c(ic), c(oc), stride) for ic, oc, stride in channels]
    stem = [nn.Conv2d(3, c(32), 3, 2, 1, bias=False), nn.BatchNorm2d(c(32)), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c(1024), outputs)).eval()


with torch.inference_mode():
    crop = torch.rand(1, 3, 120, 120)
    net = mobilenet()
    rows = crop.contiguous(memory_format=torch.channels_last)
    net_rows = mobilenet().to(memory_format=torch.channels_last)
with torch.no_grad():
    frozen = torch.jit.optimize_for_inference(torch.jit.trace(mobilenet(), crop))
    mean, modes, weights = torch.rand(115095), torch.rand(50, 115095), torch.rand(50)
    photo, grid = torch.rand(1, 3, 480, 640), torch.rand(1, 256, 256, 2) * 2 - 1

STEPS = {
    "regressor, eager": lambda: net(crop),
    "regressor, channels_last": lambda: net_rows(rows),
    "regressor, jit frozen": lambda: frozen(crop),
    "modes": lambda: mean + weights @ modes,
    "grid_sample": lambda: F.grid_sample(photo, grid, align_corners=True),
}

for line in sys.stdin:
    work = STEPS[line.strip()]
    with torch.inference_mode() if "jit" not in line else torch.no_grad():
        start = time.perf_counter()
        work()
        print((time.perf_counter() - start) * 1e3, flush=True)
