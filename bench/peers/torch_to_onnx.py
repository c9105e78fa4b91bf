"""Writes the generator of bench/step.ts as ONNX, for bench/peers/onnxruntime_step.ts: `torch_to_onnx.py WORK FILE`, WORK a Work
(bench/step-work.ts) as JSON. Maps are [n, 3, h, w]. Needs torch, nothing else.
"""
import json
import sys
import warnings

import torch
from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

from torch_step import Generator, load, read_safetensors

# The exporter wants the package onnx here, to look for custom functions; there are none.
onnx_proto_utils._add_onnxscript_fn = lambda model, _: model


def main():
    work, path = json.loads(sys.argv[1]), sys.argv[2]
    tensors = read_safetensors(work["weights"])
    x = tensors["x"].permute(0, 3, 1, 2).contiguous()
    generator = Generator(work["width"])
    load(generator, "generator.", {name: t for name, t in tensors.items() if name.startswith("generator.")})
    generator.eval()
    warnings.simplefilter("ignore")
    names = {"input_names": ["x"], "output_names": ["final", "aux"]}
    torch.onnx.export(generator, (x,), path, dynamo=False, opset_version=17, **names)


main()
