"""The application of one process of `service.main`."""

import gc

from fastapi import FastAPI

from service.app import create_app


def serve() -> FastAPI:
    """The application. What is there once it is made stays to the end: garbage is not looked for in it.

    Those half a million objects were gone through again and again, which took a third of the time of large answers.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    return app
