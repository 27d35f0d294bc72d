"""Fuzzing one target, until the time is up."""

from __future__ import annotations

import json
import os
import resource
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bertling"]):
    from tests.fuzzing.targets import TARGETS, Target, cleared
from tests.fuzzing.mutation import mutate
from tests.fuzzing.watching import Watch

NAMES = tuple(TARGETS)
SECONDS_EACH = 10.0
MEMORY_BYTES = 768 << 20
_ADDRESSES = 24 << 30


def fuzz(name: str, folder: Path, seconds: int, seed: int) -> None:
    """Ends the process; ``stats.json`` is written every second, and each finding as it is found."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    scratch = cleared(folder / "scratch")
    target: Target = TARGETS[name](cleared(folder / "kept"))
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for index, (variant, kind, content) in enumerate(target.seeds):
        (corpus / f"seed-{index}").write_bytes(bytes([variant, kind]) + content)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    watch = Watch(scratch, folder / "findings", seconds=SECONDS_EACH, memory_bytes=MEMORY_BYTES)
    began = noted = time.monotonic()

    def one(data: bytes) -> None:
        nonlocal noted
        if len(data) < 2:
            return
        # What a crash of the process leaves behind.
        (folder / "current.input").write_bytes(data)
        cleared(scratch)
        watch.call(lambda data: target.read(scratch, data[0], data[1], data[2:]), data)
        if (now := time.monotonic()) - noted > 1:
            noted = now
            stats = {"seconds": now - began, "outcomes": watch.outcomes, "kinds": watch.kinds}
            (folder / "stats.json").write_text(json.dumps(stats, indent=1), encoding="utf-8")

    arguments = ["fuzz", f"-max_total_time={seconds}", f"-seed={seed}", "-rss_limit_mb=0", "-timeout=600"]
    arguments += [f"-max_len={max(65536, 2 * max(len(seed[2]) for seed in target.seeds))}", "-verbosity=0"]
    atheris.Setup(
        [*arguments, str(corpus)],
        one,
        custom_mutator=lambda data, size, seed: mutate(data, size, seed, atheris.Mutate),
    )
    atheris.Fuzz()
