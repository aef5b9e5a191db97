"""The whitening convolution of `compact`, against its definition."""

import numpy as np
import torch

from noisegate.networks.building import Start, fresh_network
from noisegate.networks.compact.module import Compact, patch_covariance, whitening_filters


def shown() -> torch.Tensor:
    """Images whose neighbouring pixels and whose colours go together, channels last."""
    generator = np.random.default_rng(4)
    coarse = generator.normal(size=(60, 8, 8, 1)) + 0.5 * generator.normal(size=(60, 8, 8, 3))
    fine = np.kron(coarse, np.ones((1, 2, 2, 1))) + 0.3 * generator.normal(size=(60, 16, 16, 3))
    return torch.from_numpy(fine.astype(np.float32))


def patches() -> np.ndarray:
    """Every 2×2 patch of the images, one a row, in the order of a convolution's weights: channel, down, across."""
    images = shown().double().numpy()
    found = [
        image[y : y + 2, x : x + 2].transpose(2, 0, 1).ravel() for image in images for y in range(15) for x in range(15)
    ]
    return np.stack(found)


def test_covariance_is_that_of_the_patches() -> None:
    rows = patches()
    np.testing.assert_allclose(patch_covariance(shown()), rows.T @ rows / len(rows), rtol=1e-5, atol=1e-6)


def test_whitened_patches_are_uncorrelated_and_have_unit_variance() -> None:
    rows = patches()
    filters = whitening_filters(patch_covariance(shown()))
    answers = rows @ filters[:12].flatten(1).double().numpy().T
    # Short of 1 by what is added to each variance before it divides.
    np.testing.assert_allclose(answers.T @ answers / len(answers), np.eye(12), atol=0.02)
    assert torch.equal(filters[12:], -filters[:12])


def test_the_strongest_components_come_first() -> None:
    variances = np.linalg.eigvalsh(np.cov(patches().T, bias=True))[::-1]
    rows = patches() - patches().mean(axis=0)
    filters = whitening_filters(patch_covariance(shown()))[:12].flatten(1).double().numpy()
    directions = filters / np.linalg.norm(filters, axis=1, keepdims=True)
    np.testing.assert_allclose((rows @ directions.T).var(axis=0), variances, rtol=0.05)


def test_the_filters_are_those_of_the_images_and_are_not_trained() -> None:
    generator = torch.Generator().manual_seed(0)
    module = fresh_network("compact", image_size=16, outputs=3, generator=generator, start=Start(shown=shown()))
    assert isinstance(module, Compact)
    assert torch.equal(module.whitening, whitening_filters(patch_covariance(shown())))
    assert "whitening" in module.state_dict()
    assert "whitening" not in dict(module.named_parameters())
