from __future__ import annotations

import pytest

from bertling.tasks import GLUE, Task, TaskKind


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (GLUE["sst2"], "classification"),
        (GLUE["stsb"], "regression"),
        (Task("topics", multi_label=True), "multi_label"),
        (Task("chunks", word_labels=True), "word_labels"),
        (Task("questions", question_answering=True, unanswerable=True), "question_answering"),
        (Task("pairs", regression=True, sentence_embeddings=True), "sentence_embeddings"),
    ],
)
def test_a_task_says_what_it_asks_of_a_text(task: Task, kind: TaskKind) -> None:
    assert task.kind == kind
