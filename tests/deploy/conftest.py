"""Fixtures: what has to be ended after a test."""

import pytest

from deployment import Application, Gateway, Image


@pytest.fixture
def image(tmp_path):
    return lambda config, **more: Image(tmp_path / f"image-{len(list(tmp_path.iterdir()))}", config, **more)


@pytest.fixture
def running():
    """Starts things that have a `stop`, and stops them."""
    started = []

    def start(thing):
        started.append(thing)
        return thing

    yield start
    for thing in reversed(started):
        thing.stop()


@pytest.fixture
def gateway(running):
    return lambda image: running(Gateway(image)).wait_ready()


@pytest.fixture
def application(running):
    return lambda **more: running(Application(**more))
