"""PyTorch's side of bench/convolutions.ts: one pass of one convolution per line.

The arguments are the number of threads, the device and what products are in; a line is JSON {batch, k, ic, oc, side, pass, variant, calls} (pass 0
forward, 1 input gradient, 2 weight gradient; so many calls), the answer the milliseconds of one call. On a card the calls are one CUDA graph, and with
bf16 the maps are. Needs torch, nothing else.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
card = sys.argv[2].startswith("cuda")
kind = {"device": sys.argv[2] if card else "cpu", "dtype": torch.bfloat16 if card and sys.argv[3] == "bf16" else torch.float32}
torch.backends.cudnn.allow_tf32 = card and sys.argv[3] == "tf32"
torch.backends.cudnn.benchmark = True
made = {}


def passes(batch, k, ic, oc, side, variant):
    memory = torch.channels_last if variant == "channels_last" else torch.contiguous_format
    x = torch.randn(batch, ic, side, side, **kind).contiguous(memory_format=memory)
    w = torch.randn(oc, ic, k, k, **kind).contiguous(memory_format=memory)
    dy = torch.randn(batch, oc, side, side, **kind).contiguous(memory_format=memory)

    def backward(input, weight):
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, [1, 1], [k // 2, k // 2], [1, 1], False, [0, 0], 1, [input, weight, False])  # fmt: skip

    return [lambda: F.conv2d(x, w, padding=k // 2), lambda: backward(True, False), lambda: backward(False, True)]


def graph(work, calls):
    """All the calls at one go, waited for."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            work()

    def run():
        graph.replay()
        torch.cuda.synchronize()

    return run


def repeated(work, calls):
    def run():
        for _ in range(calls):
            work()

    return run


for line in sys.stdin:
    request = json.loads(line)
    number, calls = request.pop("pass"), request.pop("calls")
    key = tuple(request.values())
    with torch.inference_mode():
        if key not in made:
            made = {name: work for name, work in made.items() if name[:5] == key[:5]}  # the other variant's, no other shape's
            made[key] = [(graph if card else repeated)(work, calls) for work in passes(**request)]
        start = time.perf_counter()
        made[key][number]()
        print((time.perf_counter() - start) * 1e3 / calls, flush=True)
