#!/usr/bin/env python3
"""Texts for the embedded model from WordNet 3.0: extract.py WORDNET OUT

WORDNET is the folder with data.noun, data.verb, data.adj and data.adv (wndb(5WN)); into OUT go

  glosses.txt     one gloss a line, to pre-train on
  held-out.txt    HELD_OUT glosses, to measure the masked-LM loss on
  {train,dev,test}.tsv   columns text, label: definition and lexicographer file of a noun synset

A gloss is a synset's definitions and examples without the quotation marks; a definition is the part before
the first example. A synset is used once: of those with the same definition (case ignored) the first one counts, and
no other gloss with that definition is anywhere. So no text of held-out, dev or test is in glosses.txt.

Draws are by SHA-256 of the seed and the synset, not by a generator whose stream may change: the synsets are
sorted by it, and the first ones are taken.
"""

import hashlib
import sys
from pathlib import Path

SEED = 0
TRAIN, DEV, TEST, HELD_OUT = 10_000, 1_000, 2_000, 3_000
# Shortest definition of the task, in words: `a quaver` says little.
MIN_WORDS = 3
# lexnames(5WN). noun.Tops (03) is left out: it holds the 51 roots of the others, and is no kind of thing.
NOUNS = dict(
    enumerate(
        "act animal artifact attribute body cognition communication event feeling food group location motive object "
        "person phenomenon plant possession process quantity relation shape state substance time".split(),
        start=4,
    )
)


def synsets(folder):
    """Part of speech, offset, lexicographer file, definition and gloss of every synset, in file order."""
    for name in ["noun", "verb", "adj", "adv"]:
        for line in (folder / f"data.{name}").read_text(encoding="ascii").splitlines():
            if line.startswith("  "):
                continue  # the licence
            fields, gloss = line.split(" | ", 1)
            offset, file = fields.split(" ")[:2]
            definition = " ".join(gloss.split('"')[0].split()).rstrip(";:, ")
            gloss = " ".join(gloss.replace('"', "").split()).rstrip("; ")
            yield name, offset, int(file), definition, gloss


def main(wordnet, out):
    first = {}
    for name, offset, file, definition, gloss in synsets(wordnet):
        if definition:
            first.setdefault(definition.lower(), (name, offset, file, definition, gloss))

    def draw(synset):
        return hashlib.sha256(f"{SEED}/{synset[0]}/{synset[1]}".encode()).digest()

    order = sorted(first.values(), key=draw)
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    nouns = [s for s in rest if s[2] in NOUNS and s[0] == "noun" and len(s[3].split()) >= MIN_WORDS]
    ends = [TEST, TEST + DEV, TEST + DEV + TRAIN]
    parts = {"test": nouns[: ends[0]], "dev": nouns[ends[0] : ends[1]], "train": nouns[ends[1] : ends[2]]}
    kept_out = {s[:2] for s in parts["test"] + parts["dev"]}

    out.mkdir(parents=True, exist_ok=True)
    texts = [s[4] for s in rest if s[:2] not in kept_out]
    (out / "glosses.txt").write_text("".join(t + "\n" for t in texts), encoding="ascii")
    (out / "held-out.txt").write_text("".join(s[4] + "\n" for s in held_out), encoding="ascii")
    for name, part in parts.items():
        lines = ["text\tlabel"] + [f"{s[3]}\tnoun.{NOUNS[s[2]]}" for s in part]
        (out / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="ascii")
    # What the docstring promises.
    training = {t.lower() for t in texts}
    for s in held_out + parts["test"] + parts["dev"]:
        assert s[3].lower() not in training and s[4].lower() not in training, s
    assert {s[2] for s in parts["train"]} == set(NOUNS)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
