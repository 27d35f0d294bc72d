"""What the plain methods are called that a model is compared with: that depends on what a task asks."""

from __future__ import annotations

from bertling.tasks import TaskKind

_MAJORITY: dict[TaskKind, str] = {
    "regression": "mean of the labels",
    "sentence_embeddings": "mean of the labels",
    "multi_label": "most frequent labels",
    "word_labels": "majority class of each word",
}


def yardstick_names(kind: TaskKind) -> dict[str, str]:
    """Key of a recipe's yardstick -> its name, from plain to strong."""
    of_numbers = kind in ("regression", "sentence_embeddings")
    return {
        "majority": _MAJORITY.get(kind, "majority class"),
        "tfidf": f"TF-IDF + {'ridge' if of_numbers else 'logistic'} regression",
        "tfidf_cosine": "cosine of TF-IDF",
        "no_answer": "no answer to any question",
        "overlap": "sentence of most overlap",
    }
