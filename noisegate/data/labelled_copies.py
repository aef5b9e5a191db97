"""Copies beside what is known of the images: which are training images, and of which class each is."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy

from noisegate.api.duplicates import Kind
from noisegate.data.alike import Flags, Links, Places
from noisegate.data.copies import Copies

Relation = Literal["across_classes", "test_in_train", "within_train", "within_test"]

RELATIONS: tuple[Relation, ...] = ("across_classes", "test_in_train", "within_train", "within_test")


class LabelledCopies:
    """Answers which images stand in which relation to a copy of theirs."""

    def __init__(self, copies: Copies, labels: Places, train_count: int) -> None:
        self._picture, self._first = copies.picture, copies.first
        self._labels = np.asarray(labels, np.int64)
        self._is_test = np.arange(len(labels)) >= train_count
        self._near = copies.links.chosen(~copies.links.mirrored)
        self._mirrored = copies.links.chosen(copies.links.mirrored)
        self._by_picture = np.argsort(self._picture, kind="stable")
        self._starts = np.searchsorted(self._picture[self._by_picture], np.arange(len(self._first) + 1))

    def images(self) -> Mapping[Relation, Mapping[Kind, Flags]]:
        """Flags [n] of the images in each relation, each under its closest kind alone."""
        exact = self._in_relation(scipy.sparse.eye_array(len(self._first), dtype=np.int64, format="csr"), itself=True)
        near, mirrored = (self._in_relation(self._adjacency(links)) for links in (self._near, self._mirrored))
        return {
            name: {
                "exact": exact[name],
                "near": near[name] & ~exact[name],
                "mirrored": mirrored[name] & ~near[name] & ~exact[name],
            }
            for name in RELATIONS
        }

    def pairs(self, relation: Relation, kind: Kind) -> Iterator[tuple[int, int, float]]:
        """Two images and how alike they are, the most alike first: one pair for each two pictures, or for each picture."""
        for left, right, similarity in self._linked(kind):
            both = product(self._members(left), self._members(right))
            found = next((pair for pair in both if self._related(relation, *pair)), None)
            if found:
                yield min(found), max(found), similarity

    def _linked(self, kind: Kind) -> Iterator[tuple[int, int, float]]:
        """Two pictures and how alike they are, the most alike first; the same one twice if several images show it."""
        if kind == "exact":
            for picture in np.flatnonzero(np.diff(self._starts) > 1):
                yield int(picture), int(picture), 1.0
            return
        links = self._near if kind == "near" else self._mirrored
        for place in np.lexsort((links.right, links.left, -links.similarity)):
            yield int(links.left[place]), int(links.right[place]), float(links.similarity[place])

    def groups(self) -> list[Places]:
        """The images of each group of exact and near copies, the largest group first."""
        _, group_of_picture = scipy.sparse.csgraph.connected_components(self._adjacency(self._near), directed=False)
        group = group_of_picture[self._picture]
        grouped = np.flatnonzero(np.bincount(group)[group] > 1)
        order = grouped[np.argsort(group[grouped], kind="stable")]
        found = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
        return sorted(found, key=lambda images: (-len(images), images[0]))

    def _in_relation(self, neighbours: "scipy.sparse.csr_array", itself: bool = False) -> Mapping[Relation, Flags]:
        """Flags of images with a copy among those whose pictures are `neighbours` of theirs, or, of the same picture, others."""
        count = len(self._picture)
        by_split = _table(self._picture, self._is_test.astype(np.int64), len(self._first), 2)
        by_label = _table(self._picture, self._labels, len(self._first), int(self._labels.max(initial=0)) + 1)
        splits = (neighbours @ by_split).toarray()[self._picture]
        same_label = np.asarray((neighbours @ by_label)[self._picture, self._labels]).reshape(count)
        if itself:
            splits[np.arange(count), self._is_test.astype(np.int64)] -= 1
            same_label = same_label - 1
        train, test = splits.T > 0
        return {
            "across_classes": splits.sum(axis=1) > same_label,
            "test_in_train": self._is_test & train,
            "within_train": ~self._is_test & train,
            "within_test": self._is_test & test,
        }

    def _related(self, relation: Relation, one: int, other: int) -> bool:
        tests = int(self._is_test[one]) + int(self._is_test[other])
        if relation == "across_classes":
            return bool(self._labels[one] != self._labels[other])
        return one != other and tests == {"within_train": 0, "test_in_train": 1, "within_test": 2}[relation]

    def _members(self, picture: int) -> list[int]:
        members: list[int] = self._by_picture[self._starts[picture] : self._starts[picture + 1]].tolist()
        return members

    def _adjacency(self, links: Links) -> "scipy.sparse.csr_array":
        ends = np.concatenate([links.left, links.right]), np.concatenate([links.right, links.left])
        return _table(*ends, len(self._first), len(self._first))


def _table(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], height: int, width: int
) -> "scipy.sparse.csr_array":
    """How often each row comes with each column."""
    return scipy.sparse.coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=(height, width)).tocsr()
