"""``bertling serve``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from bertling.cli.predict import Count, Folder

Port = Annotated[
    int, Parameter(validator=validators.Number(gte=0, lte=65535), help="0 takes one that is free.")
]


def serve(
    folder: Folder,
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 takes requests of others.")
    ] = "127.0.0.1",
    port: Port = 8000,
    threads: Annotated[Count, Parameter(help="For the products of one batch.")] = 1,
    workers: Annotated[Count, Parameter(help="Requests that are computed at the same time.")] = 1,
    batch_size: Annotated[Count, Parameter(help="Texts in a batch, at most; from one request.")] = 32,
    max_body_bytes: Annotated[Count, Parameter(help="Of a request; a larger one is refused.")] = 1_000_000,
    max_texts: Annotated[Count, Parameter(help="In a request.")] = 256,
    max_characters: Annotated[Count, Parameter(help="Of a text.")] = 10_000,
    max_requests: Annotated[
        Count, Parameter(help="That have no answer yet; further ones are told to come again.")
    ] = 128,
) -> None:
    """Answer over HTTP with an exported model: POST /predict, GET /health, GET /metrics. Needs no torch."""
    from bertling.inference.predictor import Predictor
    from bertling.serving.limits import Limits
    from bertling.serving.server import serve as serve_model

    limits = Limits(
        body_bytes=max_body_bytes, texts=max_texts, characters=max_characters, requests=max_requests
    )
    predictor = Predictor(folder, threads=threads, batch_size=batch_size)

    def announce(url: str) -> None:
        print(f"serving {folder} on {url}; stop it with Ctrl-C or SIGTERM", flush=True)

    serve_model(predictor, host=host, port=port, workers=workers, limits=limits, announce=announce)
