"""``bertling env``."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from bertling.results import Environment


def env() -> None:
    """Print versions and hardware, for a bug report or beside a figure."""
    from bertling.evaluation.environment import describe_environment

    environment = describe_environment(threads=1)  # nothing is timed here, and threads are not printed
    Console().print(Text(format_environment(environment)), soft_wrap=True)


def format_environment(environment: Environment) -> str:
    """One line for each fact, names aligned."""
    facts = {
        "python": environment.python,
        **environment.versions,
        "commit": environment.commit or "none: not run from a checkout",
        "cpu": environment.cpu,
        "cores": str(environment.cores),
        "memory": f"{environment.memory_bytes / 1e9:.1f} GB",
        "accelerator": environment.accelerator or "none",
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())
