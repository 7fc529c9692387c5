"""The recording proxy: a loopback server that forwards to model providers and sees each call.

``http1.py`` reads messages from sockets; ``loopback_server.py`` gives each connection a thread, and writes answers that are
given locally; ``forward.py`` sends a request on and passes the answer back, piece by piece; ``upstreams.py`` knows where to
forward to; ``llm_proxy.py`` is what the fixture gives.

It reads and writes sockets itself, in blocking threads: through an ASGI server and an HTTP client a call of 64 KB takes
several times as long as a direct one, and so it takes hardly longer.
"""
