"""Terms of sentence embeddings. B texts; where these are pairs, one below the other, B/2 labels."""

from __future__ import annotations

from torch import Tensor

from bertling.errors import ModelError
from bertling.objectives.sentence_losses import similarity_label_loss, similarity_loss, text_embeddings
from bertling.objectives.terms import Term, teacher_of
from bertling.states import EncoderStates, Parts


class SimilarityTerm(Term):
    """The teacher's cosines between the texts of a batch; in the place of a prediction loss.

    Args:
        student_layer, teacher_layer: the last ones, whose states are averaged.
    """

    def __init__(self, student_layer: int, teacher_layer: int) -> None:
        super().__init__(Parts(hidden=frozenset({student_layer})), Parts(hidden=frozenset({teacher_layer})))
        self.student_layer = student_layer
        self.teacher_layer = teacher_layer

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        theirs = teacher_of(teacher, "prediction").hidden[self.teacher_layer]
        return {
            "prediction": similarity_loss(
                text_embeddings(student.hidden[self.student_layer], student.mask),
                text_embeddings(theirs, student.mask),
            )
        }


class SimilarityLabelTerm(Term):
    """The data's similarities as cosines, the lowest as 0 and the highest as 1: no teacher.

    Args:
        layer: the last one, whose states are averaged.
        lowest, highest: the ends of the data's scale, such as STS-B's 0 and 5.
    """

    def __init__(self, layer: int, *, lowest: float, highest: float) -> None:
        super().__init__(Parts(hidden=frozenset({layer})), Parts())
        self.layer = layer
        self.lowest = lowest
        self.highest = highest

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        if labels is None:
            raise ModelError("the term 'labels' needs labelled data, and the batch has no labels")
        similarities = (labels - self.lowest) / (self.highest - self.lowest)
        embeddings = text_embeddings(student.hidden[self.layer], student.mask)
        return {"labels": similarity_label_loss(embeddings, similarities)}
