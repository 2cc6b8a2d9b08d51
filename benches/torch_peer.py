#!/usr/bin/env python3
"""The jobs of benches/compare.py with PyTorch and transformers, as a careful user would write them; times each.

    torch_peer.py surface --checkpoint CHECKPOINT --set SET [--points 5]     seconds a grid point
    torch_peer.py fisher  --checkpoint CHECKPOINT --set SET [--examples 64]  seconds an example
    torch_peer.py train   --checkpoint CHECKPOINT --set SET [--steps 8]      seconds a step
    torch_peer.py roof [--width 768]                                         float32 products: [2048, W] by [W, 4 W]

SET comes from `fisherscape freeze`; its labels choose the head: masked language modelling or classes. Models are BERT.
Needs torch and transformers (`pip install torch transformers`); everything is read from local files.

Careful means: examples of similar length go together, padded to the longest of their batch alone; weights change in place;
no graph is kept where none is needed. With --paper the surface is computed the paper's way: padded to 512 (or the
position table), the model loaded anew at each point.

Prints one line of JSON: median_s, mean_s and total_s of the timed units, and centre_loss, the loss at the checkpoint's
own weights (null but for surface), by which one sees that both programs compute the same. With --device the model and its
batches lie on a GPU, and a time ends when the GPU has done its work.
"""
import argparse
import json
import os
import statistics
import time

os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file is an error, not a download

import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NO_TARGET = -100


def open_model(options, labels):
    config = AutoConfig.from_pretrained(options.checkpoint)
    head = AutoModelForMaskedLM
    if labels.dim() == 1:
        head = AutoModelForSequenceClassification
        config.num_labels = max(config.num_labels, int(labels.max()) + 1)
    return head.from_pretrained(options.checkpoint, config=config, dtype=torch.float32).to(options.device)


def done(options):
    """Waits for what was asked of a GPU; the time then."""
    if options.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def batches(examples, size, padded=None, members=None):
    """Batches of the members (default: all): sorted by length and cut to the longest, or all padded to one length."""
    lengths = examples["attention_mask"].sum(dim=1)
    members = torch.arange(len(lengths)) if members is None else members
    if padded is None:
        members = members[lengths[members].argsort()]
    for part in members.split(size):
        width = padded or int(lengths[part].max())
        yield {name: to_width(tensor[part], width, name) for name, tensor in examples.items()}


def to_width(tensor, width, name):
    """The first `width` columns, padding added where there are fewer; classes have no columns."""
    if tensor.dim() == 1:
        return tensor
    filling = NO_TARGET if name == "labels" else 0
    missing = max(0, width - tensor.shape[1])
    return torch.nn.functional.pad(tensor, (0, missing), value=filling)[:, :width]


def summed_loss(model, batch):
    """Sum of the losses of a batch's targets in nats, and how many targets there are."""
    scores = model(**{name: batch[name] for name in INPUTS}).logits
    labels = batch["labels"].flatten()
    loss = cross_entropy(scores.flatten(0, -2), labels, ignore_index=NO_TARGET, reduction="sum")
    return loss, int((labels != NO_TARGET).sum())


def surface(options, examples):
    """Losses at points of a random plane. The first, at (0, 0), warms up and is not timed."""
    model = open_model(options, examples["labels"]).eval()
    padded = min(512, model.config.max_position_embeddings) if options.paper else None
    ready = list(batches(examples, options.batch, padded))
    start = [weight.detach().clone() for weight in model.parameters()]
    plane = [[torch.randn_like(weight) * weight.std() for weight in start] for _ in "xy"]
    seconds, centre = [], None
    for point in range(options.points + 1):
        a, b = 0.1 * point, -0.05 * point
        clock = done(options)
        if options.paper:
            model = open_model(options, examples["labels"]).eval()
        with torch.inference_mode():
            for weight, origin, x, y in zip(model.parameters(), start, *plane):
                weight.copy_(origin).add_(x, alpha=a).add_(y, alpha=b)
            sums = [summed_loss(model, batch) for batch in ready]
        loss = sum(loss.item() for loss, _ in sums) / sum(targets for _, targets in sums)
        seconds.append(done(options) - clock)
        centre = loss if centre is None else centre
    return seconds[1:], centre


def fisher(options, examples):
    """The exact diagonal: PyTorch squares one example's gradient at a time."""
    model = open_model(options, examples["labels"]).eval()
    weights = list(model.parameters())
    squares = [torch.zeros_like(weight) for weight in weights]
    seconds = []
    for batch in batches(examples, 1, members=torch.arange(len(examples["labels"]))[: options.examples]):
        clock = done(options)
        loss, targets = summed_loss(model, batch)
        if targets:
            gradients = torch.autograd.grad(loss / targets, weights, allow_unused=True)
            for square, gradient in zip(squares, gradients):
                if gradient is not None:
                    square.addcmul_(gradient, gradient)
        seconds.append(done(options) - clock)
    return seconds, None


def train(options, examples):
    """Steps of fine-tuning, with the dropout of the configuration. The first one warms up."""
    model = open_model(options, examples["labels"]).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.0, fused=True)
    whole = [batch for batch in batches(examples, options.batch) if len(batch["labels"]) == options.batch]
    order = torch.randperm(len(whole)).tolist()
    seconds = []
    for step in range(options.steps + 1):
        batch = whole[order[step % len(order)]]
        clock = done(options)
        loss, targets = summed_loss(model, batch)
        (loss / targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(done(options) - clock)
    return seconds[1:], None


def roof(options, _):
    """The fastest of many products counts, as the least disturbed."""
    a, b = (torch.ones(shape, device=options.device) for shape in ((2048, options.width), (options.width, 4 * options.width)))
    seconds = []
    for _ in range(50):
        clock = done(options)
        a @ b
        seconds.append(done(options) - clock)
    return [min(seconds)], None


def main():
    jobs = {job.__name__: job for job in (surface, fisher, train, roof)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=jobs)
    parser.add_argument("--checkpoint")
    parser.add_argument("--set")
    parser.add_argument("--device", default="cpu", help="as PyTorch names it (default cpu)")
    numbers = {"points": 5, "examples": 64, "steps": 8, "batch": 16, "threads": os.cpu_count(), "seed": 0, "width": 768}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--paper", action="store_true", help="the paper's way (surface)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    examples = load_file(options.set, options.device) if options.set else None
    seconds, centre = jobs[options.what](options, examples)
    times = {"median_s": statistics.median(seconds), "mean_s": statistics.mean(seconds), "total_s": sum(seconds)}
    print(json.dumps({"what": options.what, **times, "units": len(seconds), "centre_loss": centre}))


if __name__ == "__main__":
    main()
