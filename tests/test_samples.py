import numpy as np
import pytest

from sklearn_hilander._samples import as_bytes, check_samples, counted, one_line


def test_texts_become_one_line():
    assert check_samples(["a\n b", "c"], 2) == ["a b", "c"]
    assert check_samples(np.array(["a", "b"]), 2) == ["a", "b"]
    assert check_samples(np.array(["a", 1], dtype=object), 2) == ["a", "1"]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 3), (2, 3, 4, 4)])
def test_images(shape):
    assert check_samples(np.zeros(shape), 2).shape == shape


def test_one_channel_is_grey():
    assert check_samples(np.zeros((2, 3, 4, 1)), 2).shape == (2, 3, 4)


@pytest.mark.parametrize("samples", [np.zeros((2, 5)), np.zeros((2, 3, 4, 2)), np.zeros(2)])
def test_neither_images_nor_texts(samples):
    with pytest.raises(ValueError, match="samples must be texts, or images"):
        check_samples(samples, 2)


def test_wrong_number():
    with pytest.raises(ValueError, match="There are 1 samples to show, but 2 labels"):
        check_samples(["a"], 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 7, 255]), [0, 7, 255]),
        (np.array([True, False]), [255, 0]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([-2.0, 0.0, 2.0]), [0, 128, 255]),
        (np.array([0, 1000]), [0, 255]),
        (np.array([0.0, np.nan]), [0, 0]),
        (np.array([2.0, 2.0]), [0, 0]),
        (np.array([1000, 1000], dtype=np.uint16), [0, 0]),
        (np.zeros(0), []),
    ],
)
def test_bytes(values, expected):
    assert as_bytes(values).tolist() == expected


def test_words():
    assert counted(1, "row") == "1 row"
    assert counted(1200, "row") == "1,200 rows"
    assert one_line(" a\t b\n") == "a b"
