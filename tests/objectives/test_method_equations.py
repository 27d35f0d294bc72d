"""Each method's losses on real models against its paper's equations, written out plainly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tests import tiny
from tests.objectives.test_objective_paper import Encoder
from torch import Tensor

from bertling.models.capture import observe
from bertling.objectives.layer_map import layer_map
from bertling.objectives.masked_lm_terms import MaskedLMHead, MaskedLMTerm
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.recipe.methods import METHODS, Lesson

LENGTHS = (11, 3, 5)
LABELS = [2, 0, 1]
STUDENT_WIDTH, TEACHER_WIDTH, HEADS = 24, 32, 4
Reference = Callable[["Sides"], dict[str, Tensor]]


class Sides:
    """An example's view of both models, and what of the objective trains."""

    def __init__(self, student: Encoder, teacher: Encoder, label: int, guesses: Tensor) -> None:
        self.student, self.teacher, self.label = student, teacher, label
        self.guesses = guesses
        self.temperature = 1.0
        self.objective: Objective

    def projected(self, term: str, layer: int) -> Tensor:
        """(n, D_t) hidden states of a student's layer."""
        name = {"cosine": "CosineTerm", "patient_states": "PatientTerm"}[term]
        (found,) = (kept for kept in self.objective.terms if type(kept).__name__ == name)
        weight = found.get_submodule(f"projections.{layer}.linear").get_parameter("weight")
        return self.student.hidden[layer - 1] @ weight.T


def probabilities(scores: Tensor) -> list[float]:
    powers = [math.exp(score) for score in scores.tolist()]
    return [power / sum(powers) for power in powers]


def divergence(teacher: Tensor, student: Tensor) -> float:
    """KL of the distributions that two rows of scores make."""
    pairs = zip(probabilities(teacher), probabilities(student), strict=True)
    return sum(p * math.log(p / q) for p, q in pairs)


def cross_entropy(teacher: Tensor, student: Tensor, temperature: float) -> float:
    pairs = zip(probabilities(teacher / temperature), probabilities(student / temperature), strict=True)
    return -sum(p * math.log(q) for p, q in pairs)


def mean_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Of (A, n, n) scores: 1 / (A n) times the sum over heads and tokens."""
    heads, tokens, _ = teacher.shape
    total = sum(divergence(teacher[a, i], student[a, i]) for a in range(heads) for i in range(tokens))
    return torch.tensor(total / (heads * tokens))


def relations(states: Tensor, heads: int) -> Tensor:
    """(H, n, d) -> (A, n, n): the joined heads split anew, X X^T / sqrt(d_r)."""
    joined = torch.cat(list(states), -1)
    size = joined.shape[1] // heads
    parts = [joined[:, a * size : (a + 1) * size] for a in range(heads)]
    return torch.stack([part @ part.T / math.sqrt(size) for part in parts])


def soft_targets(sides: Sides) -> dict[str, Tensor]:
    """Hinton et al. 2015, section 2."""
    t = sides.temperature
    return {
        "soft_targets": torch.tensor(t * t * cross_entropy(sides.teacher.logits, sides.student.logits, t))
    }


def labels(sides: Sides) -> dict[str, Tensor]:
    return {"labels": torch.tensor(-math.log(probabilities(sides.student.logits)[sides.label]))}


def patient_states(sides: Sides) -> dict[str, Tensor]:
    """PKD, section 3.2: the squared distance of normalised [CLS] states, but for the last layer."""
    losses = {}
    for mine, theirs in ((1, 2), (2, 4)):  # of 6 layers into 3; the paper's 12 into 6 would be 2, 4, ... 10
        ours, other = sides.projected("patient_states", mine)[0], sides.teacher.hidden[theirs - 1][0]
        sizes = [math.sqrt(sum(x * x for x in state.tolist())) for state in (ours, other)]
        pairs = zip(ours.tolist(), other.tolist(), strict=True)
        losses[f"patient_states.{mine}"] = torch.tensor(
            sum((x / sizes[0] - y / sizes[1]) ** 2 for x, y in pairs)
        )
    return losses


def cosine(sides: Sides) -> dict[str, Tensor]:
    """DistilBERT, section 2: the cosine loss of the last states, over tokens."""
    ours, theirs = sides.projected("cosine", 3), sides.teacher.hidden[-1]
    angles = [(x @ y / (x.norm() * y.norm())).item() for x, y in zip(ours, theirs, strict=True)]
    return {"cosine.3": torch.tensor(sum(1 - angle for angle in angles) / len(angles))}


def attention_distributions(sides: Sides) -> dict[str, Tensor]:
    """MiniLM, section 3.1, of the last layers."""
    return {"attention_distributions.3": mean_divergence(sides.teacher.scores[-1], sides.student.scores[-1])}


def value_relations(sides: Sides) -> dict[str, Tensor]:
    """MiniLM, section 3.2."""
    ours, theirs = (side.heads[-1]["value"] for side in (sides.student, sides.teacher))
    products = [value @ value.mT / math.sqrt(value.shape[-1]) for value in (theirs, ours)]
    return {"value_relations.3": mean_divergence(*products)}


def self_relations(sides: Sides) -> dict[str, Tensor]:
    """MiniLMv2, section 3.1: 8 relation heads, as many as divide 24 and 32."""
    return {
        f"self_relations_{what}.3": mean_divergence(
            *(relations(side.heads[-1][what], 8) for side in (sides.teacher, sides.student))
        )
        for what in ("query", "key", "value")
    }


def masked_lm(sides: Sides) -> dict[str, Tensor]:
    """BERT, section 3.1: cross-entropy of the hidden tokens."""
    (term,) = (term for term in sides.objective.terms if isinstance(term, MaskedLMTerm))
    places = [(place, token) for place, token in enumerate(sides.guesses.tolist()) if token >= 0]
    costs = [
        -math.log(probabilities(term.head(sides.student.hidden[-1][place]))[token]) for place, token in places
    ]
    return {"masked_lm": torch.tensor(sum(costs) / len(costs))}


def soft_masked_lm(sides: Sides) -> dict[str, Tensor]:
    """DistilBERT, section 2: what the teacher guesses of them, as soft targets."""
    (term,) = (term for term in sides.objective.terms if isinstance(term, MaskedLMTerm))
    t = sides.temperature
    costs = [
        t * t * cross_entropy(teacher_head(theirs), term.head(ours), t)
        for ours, theirs, token in zip(
            sides.student.hidden[-1], sides.teacher.hidden[-1], sides.guesses.tolist(), strict=True
        )
        if token >= 0
    ]
    return {"soft_masked_lm": torch.tensor(sum(costs) / len(costs))}


REFERENCES: dict[str, Reference] = {
    reference.__name__: reference
    for reference in (
        *(soft_targets, labels, patient_states, cosine, attention_distributions, value_relations),
        *(self_relations, masked_lm, soft_masked_lm),
    )
}
TEACHER_TABLE = torch.randn(
    tiny.VOCABULARY, TEACHER_WIDTH, generator=torch.Generator().manual_seed(5), dtype=torch.float64
)


def teacher_head(states: Tensor) -> Tensor:
    return states @ TEACHER_TABLE.T * 0.3


def guesses(mask: Tensor) -> Tensor:
    """Of each text its second token, and of long ones the fifth."""
    hidden = torch.full(mask.shape, -100)
    hidden[:, 1] = torch.tensor([17, 3, 199])
    hidden[0, 4] = 50
    return hidden


LESSONS: dict[tuple[str, str], Lesson] = {
    (name, stage): lesson
    for name, method in METHODS.items()
    for stage, lesson in method.lessons.items()
    if name != "tinybert" and lesson is not None and lesson.terms
}


@pytest.mark.parametrize(("method", "stage"), [key for key in LESSONS if key[1] != "intermediate"])
def test_a_method_s_loss_is_that_of_its_equations(method: str, stage: str) -> None:
    lesson = LESSONS[method, stage]
    student = tiny.classifier(layers=3, width=STUDENT_WIDTH, heads=HEADS, num_labels=3, seed=1).double()
    teacher = tiny.classifier(layers=6, width=TEACHER_WIDTH, heads=HEADS, num_labels=3, seed=2).double()
    embeddings = student.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    torch.manual_seed(0)
    objective = build_objective(
        {str(name): weight for name, weight in lesson.terms.items()},
        layer_map("uniform", student_layers=3, teacher_layers=6),
        student_width=STUDENT_WIDTH,
        teacher_width=TEACHER_WIDTH,
        temperature=lesson.temperature,
        embeddings=embeddings,
        teacher_head=teacher_head,
    ).double()
    batch = tiny.batch(LENGTHS)
    with torch.no_grad():
        taught = observe(teacher, batch, attention_layers=objective.teacher_parts.captured)
        shown = observe(student, batch, attention_layers=objective.student_parts.captured)
        hidden = guesses(batch["attention_mask"])
        total, losses = objective(shown, taught, hidden if stage == "general" else torch.tensor(LABELS))

        for row, length in enumerate(LENGTHS):
            ids = batch["input_ids"][row, :length]
            sides = Sides(Encoder(student, ids), Encoder(teacher, ids), LABELS[row], hidden[row, :length])
            sides.objective, sides.temperature = objective, lesson.temperature
            found = {name: REFERENCES[name](sides) for name in lesson.terms}
            expected = {name: value for values in found.values() for name, value in values.items()}
            got = {name: values[row] for name, values in losses.items()}
            torch.testing.assert_close(got, expected, check_dtype=False)
            weighted = sum(
                lesson.terms[name] * float(value)
                for name, values in found.items()
                for value in values.values()
            )
            assert float(total[row]) == pytest.approx(weighted)


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [
        ("uniform", {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}),
        ("top", dict(zip(range(1, 6), range(7, 12), strict=True))),
    ],
)
def test_patient_layers_are_those_of_the_paper(strategy: str, chosen: dict[int, int]) -> None:
    """PKD, section 3.2: of 12 layers into 6, skip takes 2, 4, ... 10, last 7 to 11."""
    layers = layer_map(strategy, student_layers=6, teacher_layers=12)
    objective = build_objective({"patient_states": 1.0}, layers, student_width=4, teacher_width=4)
    assert objective.student_parts.hidden == set(chosen)
    assert objective.teacher_parts.hidden == set(chosen.values())
    (term,) = objective.terms
    assert term.layers == chosen


def test_the_masked_lm_head_is_bert_s() -> None:
    model = tiny.masked_lm(width=24)
    table = model.get_input_embeddings()
    assert isinstance(table, torch.nn.Embedding)
    head = MaskedLMHead(24, table)
    theirs = model.get_submodule("cls.predictions").state_dict()
    head.load_state_dict(
        {
            "dense.weight": theirs["transform.dense.weight"],
            "dense.bias": theirs["transform.dense.bias"],
            "norm.weight": theirs["transform.LayerNorm.weight"],
            "norm.bias": theirs["transform.LayerNorm.bias"],
            "bias": theirs["bias"],
        }
    )
    head.norm.eps = model.config.layer_norm_eps
    batch = tiny.batch(LENGTHS)
    states = model.base_model(**batch).last_hidden_state
    torch.testing.assert_close(head(states.flatten(0, 1)), model(**batch).logits.flatten(0, 1))
