"""What the service takes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bertling.errors import ServingError


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of each that is taken; more is refused at once.

    Attributes:
        body_bytes: of a request's body.
        texts: in a request.
        characters: of a text, of both sides of a pair, or of all words of a list.
        requests: that are read, wait or are computed at the same time; so many bodies are in memory at most.

    Raises:
        ServingError: a limit below 1.
    """

    body_bytes: int = 1_000_000
    texts: int = 256
    characters: int = 10_000
    requests: int = 128

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) < 1:
                raise ServingError(f"got {field.name} = {value} as a limit; expected a number from 1")
