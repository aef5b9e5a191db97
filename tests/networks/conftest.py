"""Networks are trained and asked here, too, over HTTP as well."""

from tests.learning.conftest import one_thread
from tests.service.conftest import artefacts, client, settings, shared_client

__all__ = ["artefacts", "client", "one_thread", "settings", "shared_client"]
