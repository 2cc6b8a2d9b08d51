#!/usr/bin/env python3
"""fisherscape against PyTorch on the same checkpoint and frozen set, in turn; prints a Markdown table of ratios.

    python3 -m venv ENV && ENV/bin/pip install torch transformers
    benches/compare.py --binary target/release/fisherscape --python ENV/bin/python \\
        --masked-lm CHECKPOINT SET --classification CHECKPOINT SET --tiny CHECKPOINT SET > table.md

The peer, benches/torch_peer.py, does the same jobs with PyTorch and transformers; --python is an interpreter that has
both. SETs come from `fisherscape freeze`; a masked-LM CHECKPOINT without that head gets one from
`fisherscape pretrain --steps 0`, so that both programs load the same.

Each job runs ours, theirs, ours, theirs, ... --repeats times; a ratio is PyTorch's time by ours in one such turn, and
the table gives the median with the least and the greatest. Run it on an idle machine: the load is printed.

surface    seconds a grid point. Ours: two runs that differ in the number of points; the difference of their times by
           that of the points, so that loading does not count. Theirs: median_s, which counts no loading either.
Fisher     the whole set. Ours: the whole program, from start to written files. Theirs: once the whole program, once
           the loop alone (total_s).
training   seconds a step of 16 examples at dropout 0.1. Ours: two runs on one table that differ in --fraction, so that
           loading, held-out loss and saving cancel. Theirs: mean_s on the training part that our run wrote as a frozen
           set. The table's texts are the classification set's own tokens, put together again.

Peaks are the largest resident memory of each program's process.

With --device cuda both run there, and the roof is PyTorch's own rate of float32 products on that card.

The share of the roof is the arithmetic that a job needs (products of matrices alone; a backward pass counts as two forward
passes, and so do the squares of its weights' gradients) by our time, over the rate of matrix products that `cargo bench
--bench roof` finds on as many threads in the same turn.
"""
import argparse, csv, json, os, platform, statistics, struct, subprocess, sys, tempfile, time
from pathlib import Path

BATCH = 16
ROWS = 20 * BATCH  # a fifth is held out: 16 steps remain
STEPS = ROWS * 4 // 5 // BATCH


class Run:
    """A program's run: seconds of wall time, peak memory in bytes, standard output."""

    def __init__(self, *command):
        with tempfile.TemporaryFile("w+") as out:
            start = time.perf_counter()
            child = subprocess.Popen([str(part) for part in command], stdout=out)
            _, status, usage = os.wait4(child.pid, 0)
            self.seconds = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                sys.exit(f"exit status {child.returncode}: {' '.join(map(str, command))}")
            out.seek(0)
            self.printed = out.read()
        self.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Bench:
    def __init__(self, options, scratch):
        self.options, self.scratch = options, Path(scratch)
        self.notes, self.rates = [], {}

    def ours(self, what, *arguments, threads=None):
        device = ("--device", self.options.device)
        return Run(self.options.binary, "-q", "--threads", threads or self.options.threads, what, *arguments, *device)

    def theirs(self, what, checkpoint, frozen, *arguments):
        inputs = ("--checkpoint", checkpoint, "--set", frozen, "--threads", self.options.threads)
        device = ("--device", self.options.device)
        run = Run(self.options.python, self.options.peer, what, *inputs, *arguments, *device)
        return run, json.loads(run.printed.splitlines()[-1])

    def share(self, checkpoint, frozen, passes, seconds):
        """Of the roof, in so many forward passes over the set in so many seconds."""
        width = json.loads((checkpoint / "config.json").read_text()).get("hidden_size", 768)
        if width not in self.rates and self.options.device != "cpu":
            roof = ("roof", "--width", width, "--device", self.options.device)
            run = Run(self.options.python, self.options.peer, *roof)
            self.rates[width] = 2 * 2048 * width * 4 * width / json.loads(run.printed)["median_s"]
        if width not in self.rates:
            command = ("cargo", "bench", "-q", "--bench", "roof", "--", self.options.threads, width)
            self.rates[width] = float(Run(*command).printed.split()[-1]) * 1e9
        return passes * arithmetic(checkpoint, frozen) / seconds / self.rates[width]

    # Each job gives (what is compared, our seconds, their seconds, our share of the roof) and the two peaks.

    def surface(self, checkpoint, frozen, *paper):
        ours, run = self.point(checkpoint, frozen)
        peer, result = self.theirs("surface", checkpoint, frozen, *paper)
        centre = json.loads((self.scratch / "surface.json").read_text())["centre"]["loss"]
        self.notes.append(f"{frozen.stem}: loss at the centre {centre:.6f}, PyTorch's {result['centre_loss']:.6f}")
        way = ", the paper's way" if paper else ""
        share = self.share(checkpoint, frozen, 1, ours)
        return [(f"surface{way}, s a point", ours, result["median_s"], share)], (run.peak, peer.peak)

    def point(self, checkpoint, frozen, threads=None):
        """Our seconds a point. Coordinates without 0: the centre is one point more."""
        out, times, points = self.scratch / "surface.csv", [], []
        inputs = ("--checkpoint", checkpoint, "--set", frozen, "--out", out)
        for coordinates in ([-0.1, 0.1], [-0.2, -0.1, 0.1, 0.2]):
            listed = ",".join(map(str, coordinates))
            run = self.ours("surface", *inputs, f"--coords={listed}", threads=threads)
            times.append(run.seconds)
            points.append(len(coordinates) ** 2 + 1)
        return (times[1] - times[0]) / (points[1] - points[0]), run

    def scaling(self, checkpoint, frozen):
        """All threads against one, in the peer's place."""
        out, inputs = self.scratch / "F.safetensors", ("--checkpoint", checkpoint, "--set", frozen)
        (one, alone), (all_, run) = (self.point(checkpoint, frozen, threads) for threads in (1, None))
        rows = [("surface, s a point, against one thread of our own", all_, one, None)]
        one, all_ = (self.ours("fisher", *inputs, "--out", out, threads=threads).seconds for threads in (1, None))
        rows.append(("Fisher, whole program, s, against one thread of our own", all_, one, None))
        return rows, (run.peak, alone.peak)

    def paper(self, checkpoint, frozen):
        return self.surface(checkpoint, frozen, "--paper", "--points", "1")

    def fisher(self, checkpoint, frozen):
        out, examples = self.scratch / "F.safetensors", tensors(frozen)["labels"]["shape"][0]
        run = self.ours("fisher", "--checkpoint", checkpoint, "--set", frozen, "--out", out)
        peer, result = self.theirs("fisher", checkpoint, frozen, "--examples", examples)
        share = self.share(checkpoint, frozen, 3, run.seconds)
        what = f"Fisher, {examples} examples, whole program"
        rows = [
            (f"{what}s, s", run.seconds, peer.seconds, share),
            (f"{what} against the loop alone, s", run.seconds, result["total_s"], share),
        ]
        return rows, (run.peak, peer.peak)

    def train(self, checkpoint, frozen):
        table, out, times = self.scratch / "table.csv", self.scratch / "trained", []
        columns = write_table(table, checkpoint, frozen)
        source = ("--table", table, "--columns", columns, "--dropout", "uniform:0.1")
        for steps in (1, STEPS):
            size = ("--batch", BATCH, "--epochs", 1, "--fraction", steps / STEPS)
            run = self.ours("train", "--checkpoint", checkpoint, *source, *size, "--out", out)
            times.append(run.seconds)
        ours = (times[1] - times[0]) / (STEPS - 1)
        part = out / "train.safetensors"
        peer, result = self.theirs("train", checkpoint, part, "--batch", BATCH, "--steps", STEPS - 1)
        share = self.share(checkpoint, part, 3 / STEPS, ours)
        return [("training step of 16, s", ours, result["mean_s"], share)], (run.peak, peer.peak)


def arithmetic(checkpoint, frozen):
    """Floating-point operations of the products of a forward pass over a set, with no more rows than are needed: the last layer's
    queries, outputs and feed-forward maps, and the decoder, only where there is a target; a head of classes is left out."""
    config = json.loads((checkpoint / "config.json").read_text())
    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
    others = ("n_embd", "n_layer", "n_inner", "vocab_size")
    h, layers, inner, words = (config.get(name) or config.get(other) for name, other in zip(names, others))
    inner, causal = inner or 4 * h, config["model_type"] == "gpt2"
    shapes = tensors(frozen)
    count, width = shapes["attention_mask"]["shape"]
    mask, labels = integers(frozen, "attention_mask"), integers(frozen, "labels")
    decodes = len(labels) > count
    total = 0
    for n in range(count):
        tokens = sum(mask[n * width:(n + 1) * width])
        own = labels[n * width:(n + 1) * width] if decodes else [0]
        targets = sum(label >= 0 for label in own)
        # Keys and values of all tokens; the rest of a layer, with its attention, of the rows that are read.
        part = lambda rows: 4 * h * h * tokens + rows * (4 * h * h + 4 * h * inner + 4 * tokens * h)
        rows = tokens if causal else targets
        total += (layers - 1) * part(tokens) + part(rows) + decodes * targets * 2 * h * words
    return total


def tensors(path):
    """The header of a safetensors file."""
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def integers(path, name):
    """A tensor of 64-bit integers, flat."""
    begin, end = tensors(path)[name]["data_offsets"]
    with open(path, "rb") as file:
        file.seek(8 + struct.unpack("<Q", file.read(8))[0] + begin)
        return struct.unpack(f"<{(end - begin) // 8}q", file.read(end - begin))


def write_table(path, checkpoint, frozen):
    """Texts and classes of a set of classes, as often as needed; special tokens are left out. Gives the columns."""
    vocabulary = (checkpoint / "vocab.txt").read_text(encoding="utf-8").split("\n")
    ids, types, labels = (integers(frozen, name) for name in ("input_ids", "token_type_ids", "labels"))
    width, rows = len(ids) // len(labels), []
    for n, label in enumerate(labels):
        texts = ["", ""]
        for at in range(n * width, (n + 1) * width):
            piece = vocabulary[ids[at]]
            if not (piece.startswith("[") and piece.endswith("]")):
                texts[types[at]] += piece[2:] if piece.startswith("##") else " " + piece
        rows.append([*texts, label])
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "pair", "label"], *(rows[i % len(rows)] for i in range(ROWS))])
    return "text,pair,label" if all(row[1] for row in rows) else "text,label"


def versions(options):
    """What ran, and on what."""

    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    code = "import torch, transformers as t; print('PyTorch', torch.__version__ + ', transformers', t.__version__)"
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{names[0]}, {len(names)} logical processors" if names else platform.processor()
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return f"{said(options.binary, '-V')}; {said(options.python, '-c', code)}; {said('rustc', '--version')}. " \
           f"{processor}; {options.threads} threads; {load}; turns of each job: {options.repeats}."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="fisherscape, built with --release")
    parser.add_argument("--peer", default=Path(__file__).with_name("torch_peer.py"), help="another PyTorch script")
    parser.add_argument("--python", required=True, help="a Python with torch and transformers")
    for name in ("masked-lm", "classification", "tiny"):
        parser.add_argument(f"--{name}", nargs=2, type=Path, metavar=("CHECKPOINT", "SET"))
    parser.add_argument("--repeats", type=int, default=5, help="turns of each job (default 5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for both (default: all)")
    parser.add_argument("--device", default="cpu", help="for both, as ours names it (default cpu)")
    parser.add_argument("--paper", action="store_true", help="also the masked-LM surface the paper's way (minutes)")
    parser.add_argument("--scaling", action="store_true", help="also our own time on all threads against one")
    options = parser.parse_args()
    about = versions(options)
    jobs = [("masked LM", options.masked_lm, ["surface", "fisher"] + ["paper"] * options.paper),
            ("masked LM, tiny", options.tiny, ["surface", "fisher"]),
            ("classification", options.classification, ["surface", "fisher", "train"])]
    print("| job | fisherscape | PyTorch | ratio (least to greatest) | share of the roof | peak MB, fisherscape | peak MB, PyTorch |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, scratch)
        for model, inputs, names in (job for job in jobs if job[1]):
            for name in names + ["scaling"] * options.scaling:
                turns = [getattr(bench, name)(*inputs) for _ in range(options.repeats)]
                peaks = [max(peaks[who] for _, peaks in turns) / 1e6 for who in (0, 1)]
                for rows in zip(*(rows for rows, _ in turns)):
                    ratios = [theirs / ours for _, ours, theirs, _ in rows]
                    ours, theirs = (statistics.median(row[who] for row in rows) for who in (1, 2))
                    shares = [share for *_, share in rows if share is not None]
                    share = f"{statistics.median(shares):.0%}" if shares else ""
                    print(f"| {model}: {rows[0][0]} | {ours:.3f} | {theirs:.3f} | {statistics.median(ratios):.2f} "
                          f"({min(ratios):.2f} to {max(ratios):.2f}) | {share} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s at width {width}" for width, rate in bench.rates.items())
    print(f"\n{about} The roof: {rates}.\n")
    for note in dict.fromkeys(bench.notes):
        print(f"- {note}")


if __name__ == "__main__":
    main()
