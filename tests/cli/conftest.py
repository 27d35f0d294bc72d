from __future__ import annotations

import pytest

from bertling.results import DataSummary, Environment, ModelResult, Results


@pytest.fixture
def results() -> Results:
    def measured(score: float, *, ms: float, parameters: int) -> ModelResult:
        return ModelResult(
            score=score,
            metric="accuracy",
            parameters=parameters,
            size_bytes=4 * parameters,
            latency_ms_p50=ms,
            latency_ms_p95=2 * ms,
        )

    return Results(
        name="quickstart",
        task="colour",
        teacher=measured(0.9, ms=10.0, parameters=22_700_000),
        student=measured(0.855, ms=2.5, parameters=7_300_000),
        baseline=measured(0.801, ms=2.0, parameters=7_300_000),
        yardsticks={
            "tfidf": ModelResult(score=0.777, metric="accuracy"),
            "majority": ModelResult(score=0.25, metric="accuracy"),
        },
        score_retention=0.95,
        speedup=4.2,
        size_ratio=3.1,
        wall_seconds={"teacher": 60.0},
        latency_threads=1,
        data=DataSummary(
            task="colour",
            kind="classification",
            source="made up",
            train_examples=10,
            evaluation_examples=5,
            label_names=["blue", "red"],
            max_length_tokens=64,
            truncated_fraction=0.0,
        ),
        layer_map={1: 2, 2: 4, 3: 6},
        teacher_layers=6,
        initialization="prune",
        histories={},
        disagreements=[],
        disagreement_count=0,
        augmentation=None,
        environment=Environment(
            date="2026-01-01T00:00:00+00:00",
            commit=None,
            cpu="a CPU",
            cores=2,
            threads=1,
            memory_bytes=8_000_000_000,
            accelerator=None,
            python="3.11.7",
            versions={"torch": "2.13.0"},
        ),
    )
