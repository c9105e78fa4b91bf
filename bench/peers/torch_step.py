"""PyTorch's side of bench/step.ts: the same networks on the same maps from the same weights.

The argument is a Work (bench/step-work.ts) as JSON; then one JSON line in, one JSON line out. The networks are written from the
paper's description; their parameters carry our names, so that our file fits without a table. Needs torch, nothing else.
"""
import contextlib
import json
import struct
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ENCODER = (1, 4, 8, 16, 32)
DECODER = (4, 2, 1, 0.5)


def high_water():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            raise SystemExit(f"{path}: {name} is {entry['dtype']}, wanted F32")
        start, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32, count=(end - start) // 4, offset=start)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors


class ConvNorm(nn.Module):
    def __init__(self, ic, oc, k, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(ic, oc, k, padding=k // 2, bias=bias)
        self.bn = nn.BatchNorm2d(oc)

    def forward(self, x):
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    def __init__(self, ic, m, stride):
        super().__init__()
        oc = 4 * m
        self.conv1, self.bn1 = nn.Conv2d(ic, m, 1, bias=False), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = nn.Conv2d(m, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
        self.conv3, self.bn3 = nn.Conv2d(m, oc, 1, bias=False), nn.BatchNorm2d(oc)
        if stride != 1 or ic != oc:
            self.downsample = nn.Sequential(nn.Conv2d(ic, oc, 1, stride, bias=False), nn.BatchNorm2d(oc))
        else:
            self.downsample = nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


class Stages(nn.Module):
    def __init__(self, w):
        super().__init__()
        ic = w
        for k, (m, count) in enumerate(((w, 3), (2 * w, 4), (4 * w, 6), (8 * w, 3)), 1):
            blocks = []
            for i in range(count):
                blocks.append(Bottleneck(ic, m, 2 if i == 0 and k > 1 else 1))
                ic = 4 * m
            setattr(self, f"layer{k}", nn.Sequential(*blocks))

    def level(self, k, x):
        return getattr(self, f"layer{k - 1}")(F.max_pool2d(x, 3, 2, 1) if k == 2 else x)


class Encoder(Stages):
    def __init__(self, w):
        super().__init__(w)
        self.conv1, self.bn1 = nn.Conv2d(3, w, 7, 2, 3, bias=False), nn.BatchNorm2d(w)

    def forward(self, x):
        levels = [F.relu(self.bn1(self.conv1(x)), inplace=True)]
        for k in range(2, 6):
            levels.append(self.level(k, levels[-1]))
        return levels


class CoupledEncoder(Stages):
    def __init__(self, w):
        super().__init__(w)
        self.couple = nn.ModuleList(ConvNorm(2 * c * w, c * w, 1) for c in ENCODER[1:])

    def forward(self, first):
        levels = [first[0]]
        for k in range(2, 6):
            both = torch.cat([self.level(k, levels[-1]), first[k - 1]], 1)
            levels.append(F.relu(self.couple[k - 2](both), inplace=True))
        return levels


class Gate(nn.Module):
    def __init__(self, cx, cg, f):
        super().__init__()
        self.x, self.g, self.psi = ConvNorm(cx, f, 1, True), ConvNorm(cg, f, 1, True), ConvNorm(f, 1, 1, True)

    def forward(self, x, g):
        return x * torch.sigmoid(self.psi(F.relu(self.x(x) + self.g(g), inplace=True)))


class Fusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, a, b):
        w = F.relu(self.weight)
        return (w[0] * a + w[1] * b) / (w.sum() + 1e-4)


class Head(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(w // 2, w // 4, 3, padding=1, bias=False), nn.BatchNorm2d(w // 4)
        self.conv2 = nn.Conv2d(w // 4, 3, 3, padding=1)

    def forward(self, d):
        return torch.tanh(self.conv2(F.relu(self.bn1(self.conv1(up(d))), inplace=True)))


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def below(i):
    return ENCODER[4] if i == 0 else DECODER[i - 1]


class UNet(nn.Module):
    def __init__(self, w, encoder, skip):
        super().__init__()
        beside = [ENCODER[3 - i] for i in range(4)]
        self.encoder = encoder
        self.gate = nn.ModuleList(Gate(beside[i] * w, int(below(i) * w), int(DECODER[i] * w)) for i in range(4))
        self.decoder = nn.ModuleList(
            ConvNorm(int((below(i) + skip[i]) * w), int(DECODER[i] * w), 3) for i in range(4)
        )
        self.head = Head(w)

    def decode(self, encoder, passed):
        d, maps = encoder[4], []
        for i in range(4):
            g = up(d)
            skip = passed(i, self.gate[i](encoder[3 - i], g))
            d = F.relu(self.decoder[i](torch.cat([g, skip], 1)), inplace=True)
            maps.append(d)
        return self.head(d), maps


class First(UNet):
    def __init__(self, w):
        super().__init__(w, Encoder(w), [ENCODER[3 - i] for i in range(4)])

    def forward(self, x):
        encoder = self.encoder(x)
        return (encoder, *self.decode(encoder, lambda _, gated: gated))


class Second(UNet):
    def __init__(self, w):
        super().__init__(w, CoupledEncoder(w), DECODER)
        self.project = nn.ModuleList(ConvNorm(ENCODER[3 - i] * w, int(DECODER[i] * w), 1) for i in range(4))
        self.fuse = nn.ModuleList(Fusion() for _ in range(4))

    def forward(self, first, decoded):
        fused = lambda i, gated: self.fuse[i](decoded[i], self.project[i](gated))
        return self.decode(self.encoder(first), fused)[0]


class Generator(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.unet1, self.unet2 = First(w), Second(w)

    def forward(self, x):
        encoder, aux, decoded = self.unet1(x)
        return self.unet2(encoder, decoded), aux

    @torch.no_grad()
    def constrain(self):
        for fuse in self.unet2.fuse:
            fuse.weight.clamp_(min=1e-3)


class Discriminator(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.conv1 = nn.Conv2d(6, w, 4, 2, 1)
        for k, (ic, oc, stride) in enumerate(((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)), 2):
            setattr(self, f"conv{k}", nn.Conv2d(ic, oc, 4, stride, 1, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(oc))
        self.conv5 = nn.Conv2d(8 * w, 1, 4, 1, 1)

    def forward(self, xy):
        y = F.leaky_relu(self.conv1(xy), 0.2, inplace=True)
        for k in (2, 3, 4):
            y = F.leaky_relu(getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y)), 0.2, inplace=True)
        return self.conv5(y)


def adam(*networks):
    # The fused form is PyTorch's quickest on the CPU.
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999), fused=True)


def inference(generator, x):
    generator.eval()

    def run():
        with torch.inference_mode(), cast():
            return generator(x)[0][0, 0, 0, 0].item()

    return run


def generator_step(generator, x, target):
    generator.train()
    optimiser = adam(generator)

    def run():
        optimiser.zero_grad(set_to_none=True)
        with cast():
            final, aux = generator(x)
            loss = F.l1_loss(final, target) + F.l1_loss(aux, target)
        loss.backward()
        optimiser.step()
        generator.constrain()
        return loss.item()

    return run


def gan_step(generator, local, global_, x, target, eta=0.3):
    for network in (generator, local, global_):
        network.train()
    optimisers = adam(generator), adam(local, global_)
    size = x.shape[2]
    part = lambda pixels: int(pixels * size / 256 + 0.5)
    top, left, side = part(43), part(64), part(128)
    views = ((local, lambda m: m[:, :, top : top + side, left : left + side]), (global_, lambda m: m))
    bce = lambda logits, label: F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    def judge(network, view, y):
        return network(view(torch.cat([x, y], 1)))

    def adversarial(y):
        return sum(0.5 * bce(judge(network, view, y), 1.0) for network, view in views)

    def run():
        optimisers[1].zero_grad(set_to_none=True)
        judged = 0.0
        with cast():
            final, aux = generator(x)
            for network, view in views:
                real = bce(judge(network, view, target), 1.0)
                fake = bce(judge(network, view, final.detach()), 0.0)
                also = bce(judge(network, view, aux.detach()), 0.0)
                judged = judged + 0.5 * (real + (fake + eta * also) / (1 + eta))
        judged.backward()
        optimisers[1].step()
        # What the discriminators would learn from the generator's loss is thrown away: do not compute it.
        for network, _ in views:
            network.requires_grad_(False)
        optimisers[0].zero_grad(set_to_none=True)
        with cast():
            loss = F.l1_loss(final, target) + adversarial(final) + eta * (F.l1_loss(aux, target) + adversarial(aux))
        loss.backward()
        optimisers[0].step()
        generator.constrain()
        for network, _ in views:
            network.requires_grad_(True)
        return loss.item()

    return run


def in_bf16(generator, x):
    with torch.autocast("cpu", torch.bfloat16):
        return [y.float() for y in generator(x)[:2]]


cast = contextlib.nullcontext  # the precision of what is computed inside, but for the cpu's bf16


def place(work):
    """PyTorch's name of the device, and what products are in there; the emulation of a card is compared on the cpu."""
    if not work["device"].startswith("cuda"):
        return "cpu", "f32"
    tf32 = work["precision"] == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return work["device"], work["precision"]


def peak(device):
    return high_water() if device == "cpu" else torch.cuda.max_memory_allocated(device)


def load(network, prefix, tensors):
    own = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    missing, extra = network.load_state_dict(own, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or extra:
        raise SystemExit(f"torch_step: missing {missing[:5]}, extra {extra[:5]}")


def main():
    work = json.loads(sys.argv[1])
    device, precision = place(work)
    start_bytes = peak(device)
    torch.set_num_threads(work["threads"])
    torch.manual_seed(1)
    tensors = read_safetensors(work["weights"])
    layout = torch.contiguous_format if work["variant"] == "eager" else torch.channels_last
    given = {k: tensors.pop(k).permute(0, 3, 1, 2) for k in ("x", "target", "final", "aux")}
    maps = {k: m.contiguous(memory_format=layout).to(device) for k, m in given.items()}
    networks = {"generator": Generator(work["width"])}
    if work["kind"] == "gan":
        networks |= {"local": Discriminator(work["width"]), "global": Discriminator(work["width"])}
    for part, network in networks.items():
        load(network, f"{part}.", tensors)
        network.to(device, memory_format=layout)
    del tensors
    generator = networks["generator"]
    if work["variant"] in ("compile", "graphs"):
        from torch._inductor import config

        config.freezing = work["kind"] == "inference" and device == "cpu"
        generator = torch.compile(generator, mode="reduce-overhead" if work["variant"] == "graphs" else "default")
    if precision == "bf16":
        global cast
        cast = lambda: torch.autocast(device, torch.bfloat16)
    if work.get("bf16"):
        plain = generator
        generator = lambda x: in_bf16(plain, x)
        generator.eval = plain.eval
    generator.eval()
    with torch.no_grad(), cast():
        answers = generator(maps["x"])
    difference = max(float((a.float() - maps[k]).square().mean().sqrt()) for a, k in zip(answers, ("final", "aux")))
    del answers
    x, target = maps["x"], maps["target"]
    if work["kind"] == "gan":
        run = gan_step(generator, networks["local"], networks["global"], x, target)
    else:
        run = inference(generator, x) if work["kind"] == "inference" else generator_step(generator, x, target)
    parameters = sum(p.numel() for network in networks.values() for p in network.parameters())
    say({"ready": True, "parameters": parameters, "difference": difference, "startBytes": start_bytes})
    for line in sys.stdin:
        if json.loads(line)["request"] == "memory":
            say({"peakBytes": peak(device)})
            continue
        if work["variant"] == "graphs":
            torch.compiler.cudagraph_mark_step_begin()
        begin = time.perf_counter()
        value = run()
        say({"milliseconds": 1000 * (time.perf_counter() - begin), "value": value})


def say(line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
