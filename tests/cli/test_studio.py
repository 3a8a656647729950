"""``probe studio``: what it takes, and that nothing else takes it along."""

from __future__ import annotations

import importlib.util
import socket


def test_without_gradio_it_says_what_to_install(run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name)
    )
    assert run("studio").error == "the studio needs gradio: pip install 'cnn-probe[app]'"


def test_an_address_of_another_computer(run):
    error = run("studio", "--host", "192.0.2.1", "--port", 7999).error
    assert error.startswith(
        "--port 7999 of 192.0.2.1 cannot be opened: it is in use, or not an address"
    )
    assert error.endswith("choose another --port or --host")


def test_a_port_that_is_taken(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = run("studio", "--port", port).error
    assert error.startswith(f"--port {port} of 127.0.0.1 cannot be opened: it is in use")
