"""PyTorch's side of bench/convolutions.ts: one pass of one convolution per line.

The argument is the number of threads; a line is JSON {k, ic, oc, side, pass, variant, calls} (pass 0 forward, 1 input gradient, 2 weight
gradient; so many calls), the answer the milliseconds of one call. Needs torch, nothing else.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
made = {}


def passes(k, ic, oc, side, variant):
    memory = torch.channels_last if variant == "channels_last" else torch.contiguous_format
    x = torch.randn(1, ic, side, side).contiguous(memory_format=memory)
    w = torch.randn(oc, ic, k, k).contiguous(memory_format=memory)
    dy = torch.randn(1, oc, side, side).contiguous(memory_format=memory)

    def backward(input, weight):
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, [1, 1], [k // 2, k // 2], [1, 1], False, [0, 0], 1, [input, weight, False])  # fmt: skip

    return [lambda: F.conv2d(x, w, padding=k // 2), lambda: backward(True, False), lambda: backward(False, True)]


for line in sys.stdin:
    request = json.loads(line)
    number, calls = request.pop("pass"), request.pop("calls")
    key = tuple(request.values())
    if key not in made:
        made = {name: work for name, work in made.items() if name[:4] == key[:4]}  # the other variant's, no other shape's
        made[key] = passes(**request)
    with torch.inference_mode():
        start = time.perf_counter()
        for _ in range(calls):
            made[key][number]()
        print((time.perf_counter() - start) * 1e3 / calls, flush=True)
