"""Networks are trained and asked here, too."""

from tests.learning.conftest import one_thread

__all__ = ["one_thread"]
