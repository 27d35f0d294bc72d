"""A whole run as the report gets it, made by hand: plausible figures and texts."""

from __future__ import annotations

import math
import random

import pytest
from tests.report.labelled import by_label
from tests.report.variants import variant

from bertling.results import (
    Augmentation,
    DataSummary,
    Disagreement,
    Environment,
    HistoryPoint,
    ModelResult,
    Results,
)


def history(
    terms: dict[str, tuple[float, float]], *, points: int, log_steps: int, epochs: float
) -> list[HistoryPoint]:
    """Losses that fall from the first to the last value, with some noise."""
    noise = random.Random(7)
    rows = []
    for index in range(1, points + 1):
        done = index / points
        values = {
            name: last + (first - last) * math.exp(-5 * done) * math.exp(noise.gauss(0, 0.04))
            for name, (first, last) in terms.items()
        }
        rows.append(
            HistoryPoint(
                step=index * log_steps,
                epoch=epochs * done,
                tokens=index * log_steps * 1000,
                loss=sum(values.values()),
                learning_rate=5e-5 * (1 - done),
                gradient_norm=1.5,
                terms=values,
            )
        )
    return rows


def model(score: float, **measured: float | None) -> ModelResult:
    """A model's result with accuracy as its metric."""
    return ModelResult.model_validate({"score": score, "metric": "accuracy", **measured})


@pytest.fixture
def results() -> Results:
    """Four layers out of twelve, five stages that train, both yardsticks, augmented examples."""
    transformer = {"embedding": (0.31, 0.012)}
    transformer |= {f"attention.{layer}": (9.0 * layer, 0.4 * layer) for layer in (1, 2, 3, 4)}
    transformer |= {f"hidden.{layer}": (0.9 + layer, 0.1 * layer) for layer in (1, 2, 3, 4)}
    small = {"parameters": 14_350_874, "size_bytes": 57_411_192, "layers": 4, "width": 312}
    large = {"parameters": 109_483_778, "size_bytes": 437_958_648, "layers": 12, "width": 768}
    linear = {"parameters": 48_211, "size_bytes": 1_203_554}
    return Results(
        name="harbour-4l-312",
        task="harbour-notes",
        teacher=model(0.9314, latency_ms_p50=61.27, latency_ms_p95=88.04, **large),
        student=model(0.9037, latency_ms_p50=6.52, latency_ms_p95=9.18, **small),
        baseline=model(0.8463, latency_ms_p50=6.55, latency_ms_p95=9.33, **small),
        yardsticks={
            "majority": model(0.5092),
            "tfidf": model(0.8016, latency_ms_p50=0.417, latency_ms_p95=0.583, **linear),
        },
        score_retention=0.9037 / 0.9314,
        speedup=9.4,
        size_ratio=437_958_648 / 57_411_192,
        wall_seconds={
            "teacher": 4312.0,
            "general": 9875.4,
            "intermediate": 7203.9,
            "prediction": 712.6,
            "baseline": 688.2,
            "evaluate": 95.31,
            "report": 0.42,
        },
        latency_threads=1,
        data=DataSummary(
            task="harbour-notes",
            kind="classification",
            source="train.tsv and test.tsv",
            train_examples=67_349,
            evaluation_examples=872,
            label_names=["calm", "rough"],
            max_length_tokens=128,
            truncated_fraction=0.0173,
        ),
        layer_map={1: 3, 2: 6, 3: 9, 4: 12},
        teacher_layers=12,
        initialization="prune",
        histories={
            "teacher": history({"labels": (0.69, 0.11)}, points=63, log_steps=100, epochs=3),
            "general": history(transformer, points=400, log_steps=50, epochs=3),
            "intermediate": history(transformer, points=90, log_steps=250, epochs=10),
            "prediction": history({"prediction": (0.61, 0.34)}, points=63, log_steps=100, epochs=3),
            "baseline": history({"labels": (0.71, 0.22)}, points=63, log_steps=100, epochs=3),
        },
        disagreements=[
            Disagreement(
                text="The swell eased before noon, or so the pilot told everyone who had stayed ashore.",
                text_pair=None,
                label="calm",
                teacher="calm",
                student="rough",
                teacher_confidence=0.997,
                student_confidence=0.981,
            ),
            Disagreement(
                text="Is the lock open at low water?",
                text_pair="The gate moves with the tide.",
                label="rough",
                teacher="rough",
                student="calm",
                teacher_confidence=0.964,
                student_confidence=0.913,
            ),
            Disagreement(
                text="Hardly a ripple, if one ignores the gale.",
                text_pair=None,
                label="rough",
                teacher="calm",
                student="rough",
                teacher_confidence=0.887,
                student_confidence=0.742,
            ),
            Disagreement(
                text="Nobody called it rough. " * 60,
                text_pair=None,
                label="calm",
                teacher="calm",
                student="rough",
                teacher_confidence=0.612,
                student_confidence=0.538,
            ),
        ],
        disagreement_count=57,
        by_label=by_label(
            ["calm", "rough"],
            teacher=[[419, 25], [35, 393]],
            student=[[398, 46], [38, 390]],
            baseline=[[361, 83], [51, 377]],
        ),
        augmentation=Augmentation(
            source_rows=67_349,
            rows=1_231_907,
            unvaried_rows=812,
            mode="masked",
            masked_lm="harbour-base-cased",
            head_accuracy=0.4127,
            sample=[
                variant(
                    "The swell sank after noon, or so the pilot told everyone who had stayed aboard.",
                    was={"sank": "eased", "after": "before", "aboard": "ashore"},
                ),
                variant(
                    "Is the bridge open at high water?",
                    "The gate swings with the current.",
                    was={"bridge": "lock", "high": "low", "swings": "moves", "current": "tide"},
                ),
                variant(
                    "NEVER a ripple, if one forgets the gale.", was={"NEVER": "HARDLY", "forgets": "ignores"}
                ),
                variant("Nobody called it quiet. " * 60, was={"quiet": "rough"}),
            ],
        ),
        environment=Environment(
            date="2026-11-20T14:03:00+00:00",
            commit="4f1c2d9a7be0",
            cpu="Example EPYC 9004",
            cores=16,
            threads=8,
            memory_bytes=67_430_000_000,
            accelerator=None,
            python="3.11.9",
            versions={
                "torch": "2.13.0+cpu",
                "transformers": "5.23.0",
                "bertling": "0.1.0",
                "accelerate": "1.15.0",
            },
        ),
    )
