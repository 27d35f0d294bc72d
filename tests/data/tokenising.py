"""What test_shards.py starts: tokenising that dies, and tokenising whose memory is read.

python -m tests.data.tokenising dies FOLDER WORKERS
python -m tests.data.tokenising measures FOLDER WORKERS TIMES
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from tests import tiny

from bertling.data.shards import write_shards

TOKENS_OF_MEASURED = 100_000
"""of the corpus whose memory is read, once"""


def texts() -> Iterator[str]:
    """Some hundred texts: short, long and empty ones."""
    draw = random.Random(1)
    words = [f"w{number}" for number in range(98)] + [f"w{number}x{number}" for number in range(97)]
    for _ in range(400):
        yield " ".join(draw.choices(words, k=draw.choice([0, 1, 3, 8, 20, 40])))


def dying() -> Iterator[str]:
    """Prints the numbers of the processes that tokenise and dies in the middle, as by kill -9."""
    for number, text in enumerate(texts()):
        if number == 200:
            print(*(process.pid for process in multiprocessing.active_children()), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        yield text


def measured(times: int) -> Iterator[str]:
    """A corpus again and again; prints at its end the most bytes that Python and NumPy held at once.

    The size of the process would say more, but differs by ten MiB from run to run on a busy machine;
    benchmarks/corpus_memory.py reads it on a corpus so large that this does not matter.
    """
    draw = random.Random(2)
    tracemalloc.start()
    for _ in range(times * TOKENS_OF_MEASURED // 60):
        yield " ".join(f"w{draw.randrange(98)}x{draw.randrange(97)}" for _ in range(30))
    print(tracemalloc.get_traced_memory()[1], flush=True)


if __name__ == "__main__":
    how, folder, workers, *times = sys.argv[1:]
    write_shards(
        dying() if how == "dies" else measured(int(times[0])),
        tiny.tokenizer(),
        Path(folder),
        max_length_tokens=12,
        workers=int(workers),
        shard_characters=700 if how == "dies" else 50_000,
    )
