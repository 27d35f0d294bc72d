from __future__ import annotations

import pytest

from bertling.data.docstring_text import mask_names, sentences


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Convert a NumPy array to a torch.Tensor.", "Convert a library array to a library.Tensor."),
        ("PyTorch and TorchScript differ.", "Library and library differ."),
        ("Use np.nan, pd.NA or scikit-learn.", "Use library.nan, library.NA or library."),
        ("Hugging Face Transformers and Datasets.", "Library and library."),
        ("Call from_numpy or is_torch_tensor.", "Call from_library or is_library_tensor."),
        ("A transformer reads a dataset with a pdf.", "A transformer reads a dataset with a pdf."),
    ],
)
def test_names_and_aliases_are_masked_but_words_of_the_field_are_not(text: str, masked: str) -> None:
    assert mask_names(text) == masked


def test_numpydoc_leaves_the_prose() -> None:
    docstring = """Weigh the lanterns of a street.

    The weights are summed, e.g. Those of
    *both* sides, see :func:`~street.sides` and `the map <http://map>`_ [1]_. A second sentence follows it.

    Parameters
    ----------
    lanterns : sequence of Lantern, default: None
        The lanterns that are weighed.
    unit: str
        The unit of the ``weights`` given.

    .. versionadded:: 1.2

    .. math:: This is a formula and not a sentence.

    .. note:: Empty lanterns weigh nothing at all.
       They are left out of the sum.

    Examples
    --------
    >>> weigh([Lantern()])
    This is what the example prints out.

    ======= =======
    This is  a table with two columns here.
    ======= =======

    A literal block follows this sentence here. As in::

        This is the literal block itself here.

    References
    ----------
    .. [1] This is the reference to a book.
    """
    assert sentences(docstring) == [
        "Weigh the lanterns of a street.",
        "The weights are summed, e.g. Those of both sides, see street.sides and the map.",
        "A second sentence follows it.",
        "The lanterns that are weighed.",
        "The unit of the weights given.",
        "Empty lanterns weigh nothing at all.",
        "They are left out of the sum.",
        "A literal block follows this sentence here.",
    ]


def test_google_style_and_markdown_leave_the_prose() -> None:
    docstring = """Hang [`Lantern`] objects along a street.

    Args:
        street (`Street`, *optional*, defaults to `None`): The street that is
            lit by the lanterns.
        spacing: Steps between two of the lanterns.
        - `first` (int): Where the first lantern is hung.

    Returns:
        `list[Lantern]`: The lanterns that were hung up.

    :param dark: Whether it is dark outside already.

    ```python
    This is code and not a sentence.
    ```

    <Tip>

    **Look** at [the guide](http://guide) for more examples.

    </Tip>
    """
    assert sentences(docstring) == [
        "Hang Lantern objects along a street.",
        "The street that is lit by the lanterns.",
        "Steps between two of the lanterns.",
        "Where the first lantern is hung.",
        "The lanterns that were hung up.",
        "Whether it is dark outside already.",
        "Look at the guide for more examples.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Four words are few.",
        " ".join(["Many", *["words"] * 59, "here."]),
        "This sentence has no full stop",
        "this sentence starts with a small letter.",
        "See http://lantern.example for more about this.",
        "The result is $x + y$ in this case.",
        "Set a=1, b=2, c=3 and d=4 here.",
        "Die Lampe leuchtet schön und weit.",
        "A sum over all lanterns, i.e.",
        "Lantern mechanics) decide which of them shine.",
    ],
)
def test_what_does_not_read_as_a_sentence_is_left_out(text: str) -> None:
    assert sentences(text) == []
