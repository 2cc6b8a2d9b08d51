#!/usr/bin/env python3
"""Reads every kind of file that a run writes, and prints a line for each kind.

    fisherscape run quickstart
    fisherscape render quickstart/surfaces/held_out/guided_all.csv --out quickstart/guided.h5
    python examples/read_outputs.py quickstart          # needs numpy, pandas, safetensors and h5py

Columns, tensors and units are in docs/formats.md. Copy the function that you need: each stands by itself.
"""

import json
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from safetensors import safe_open


def table(path):
    """CSV. Only an empty cell is missing: an arm may be called none."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def tensors(path):
    """safetensors (F, its sums by example, sets, directions, models): arrays by name, and text about them."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def by_example(path):
    """F.examples.safetensors: squared gradients of each example, summed over each tensor: a row an example."""
    arrays, about = tensors(path)
    return pd.DataFrame(arrays["sums"], index=arrays["examples"], columns=json.loads(about["names"]))


def grid(path):
    """A surface as its axes and a matrix of losses, a row for each y; all of its points are in the table."""
    wide = table(path).pivot(index="y", columns="x", values="loss")
    return wide.columns.to_numpy(), wide.index.to_numpy(), wide.to_numpy()


def hdf5(path):
    """HDF5 in the layout of tomgoldstein/loss-landscape, as `surface` and `render` write it: arrays by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, one: found.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
    return found


def few(names, most=5):
    return ", ".join(list(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def shapes(arrays):
    return few([f"{name} {array.dtype}{list(np.shape(array))}" for name, array in arrays.items()], 3)


def read(path):
    """What kind of file it is, by what is in it, and that in a line."""
    if path.name.endswith(".examples.safetensors") and path.parent.name == "fisher":
        sums = by_example(path)
        return "sums", f"{sums.shape[0]} examples x {sums.shape[1]} tensors; most in {sums.sum().idxmax()}"
    if path.suffix == ".safetensors":
        arrays, about = tensors(path)
        return sorted(about), f"{shapes(arrays)}; metadata: {few(sorted(about))}"
    if path.suffix == ".csv" and path.parent.parent.name == "surfaces" and not path.name.endswith(".mask.csv"):
        x, y, loss = grid(path)
        return "grid", f"{len(x)} x {len(y)} points, loss {np.nanmin(loss):.4f} to {np.nanmax(loss):.4f} nats"
    if path.suffix == ".csv":
        rows = table(path)
        return list(rows.columns), f"{len(rows)} rows of {few(rows.columns)}"
    if path.suffix in (".h5", ".npz"):
        return path.suffix, shapes(hdf5(path) if path.suffix == ".h5" else dict(np.load(path)))
    if path.suffix == ".json":
        about = json.loads(path.read_text())
        return list(about), f"keys {few(about)}"
    if path.suffix == ".toml":
        about = tomllib.loads(path.read_text())
        return list(about)[:1], about.get("command", f"keys {few(about)}")[:100]
    return None, None


def main(folder):
    seen = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        kind, text = read(path)
        # Of files that differ by arm, seed, part or mask the first.
        if text and kind not in seen:
            seen.append(kind)
            print(f"{path.relative_to(folder)}: {text}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart"))
