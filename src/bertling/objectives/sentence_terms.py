"""Terms of sentence embeddings. B texts; where these are pairs, one below the other, B/2 labels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bertling.errors import ModelError
from bertling.objectives.peer_losses import patient_loss
from bertling.objectives.projection import Projection
from bertling.objectives.sentence_losses import similarity_label_loss, similarity_loss, text_embeddings
from bertling.objectives.terms import Term, teacher_of
from bertling.states import EncoderStates, Parts


class SentenceTerm(Term):
    """``|| s W / |s W| - t / |t| ||^2``, the teacher's embedding of each text, for a prediction loss.

    The squared error of embeddings by which Reimers and Gurevych 2020 (arXiv:2004.09813, equation 1) teach a
    student, at length 1, since cosines are what is asked for. Where the widths differ it goes through a
    projection that trains along and is dropped: cosines are then right in so far as W keeps angles. It
    starts from the least-squares fit, as those of hidden states do. ``SimilarityTerm`` compares the student's
    own cosines and needs no projection, but learned less from as many texts (docs/LOG.md); and here a text's
    loss does not depend on those beside it.

    Args:
        student_layer, teacher_layer: the last ones, whose states are averaged.
        student_width, teacher_width: D_s and D_t.
    """

    def __init__(
        self, student_layer: int, teacher_layer: int, *, student_width: int, teacher_width: int
    ) -> None:
        super().__init__(Parts(hidden=frozenset({student_layer})), Parts(hidden=frozenset({teacher_layer})))
        self.student_layer = student_layer
        self.teacher_layer = teacher_layer
        self.projection = Projection(student_width, teacher_width)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        theirs = teacher_of(teacher, "prediction").hidden[self.teacher_layer]
        # The mean of what is projected is the projection of the mean.
        ours = self.projection(text_embeddings(student.hidden[self.student_layer], student.mask))
        return {"prediction": patient_loss(ours, text_embeddings(theirs, student.mask))}

    def projected(
        self, student: EncoderStates, teacher: EncoderStates
    ) -> Mapping[Projection, tuple[Tensor, Tensor]]:
        return {self.projection: (student.hidden[self.student_layer], teacher.hidden[self.teacher_layer])}


class SimilarityTerm(Term):
    """The teacher's cosines between the texts of a batch, which see the student's embeddings as they are.

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
        theirs = teacher_of(teacher, "similarities").hidden[self.teacher_layer]
        return {
            "similarities": similarity_loss(
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
