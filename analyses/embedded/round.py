#!/usr/bin/env python3
"""Rounds a safetensors file's float32 tensors to float16, to nearest even: round.py IN OUT"""

import json
import struct
import sys
from pathlib import Path


def main(source, target):
    data = source.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, data = json.loads(data[8 : 8 + size]), data[8 + size :]
    out = {"__metadata__": header.pop("__metadata__")}
    parts, end = [], 0
    for name in sorted(header):
        entry = header[name]
        assert entry["dtype"] == "F32", name
        start, stop = entry["data_offsets"]
        n = (stop - start) // 4
        parts.append(struct.pack(f"<{n}e", *struct.unpack(f"<{n}f", data[start:stop])))
        out[name] = {"dtype": "F16", "shape": entry["shape"], "data_offsets": [end, end + 2 * n]}
        end += 2 * n
    text = json.dumps(out, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text.encode() + b"".join(parts))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
