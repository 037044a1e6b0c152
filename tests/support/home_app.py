"""A small app in the place of the desktop's, whose answers come, hang, break off and get lost as a test wants."""

import io
import threading

from flask import Flask, Response, request, send_file
from orchestrator_relay.wsgi_call import WsgiCall

LARGE = bytes(range(256)) * 4096  # a megabyte


class Home:
    """`cut` is what loses the connection; `go` lets what waits go on."""

    def __init__(self):
        self.app = Flask("home")
        self.blocked = threading.Event()
        self.go = threading.Event()
        self.left = threading.Event()
        self.seen = []
        self.cut = lambda: None
        self.full = False
        self.app.before_request(self.before)
        for rule, view in {
            "/echo": self.echo,
            "/echo/<path:rest>": self.echo,
            "/conversations": self.echo,
            "/context/SESSION_LOG.md/entries": self.die,
            "/context/PROJECT_CONTEXT.md": self.document,
            "/context/SESSION_BRIEFING.md": self.die,
            "/search": self.die,
            "/conversation": self.die,
            "/file": self.file,
            "/events": self.events,
            "/large": self.large,
            "/teapot": self.teapot,
            "/hops": self.hops,
            "/lie/<length>": self.lie,
            "/hang": self.hang,
            "/half": self.half,
            "/v1/completions": self.wait,
            "/v1/chat/completions": self.completions,
            "/runs/<run_id>": self.echo,
            "/": self.echo,
        }.items():
            methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
            self.app.add_url_rule(rule, f"{rule}", view, methods=methods, provide_automatic_options=False)

    def before(self):
        self.seen.append((request.method, request.path))
        if self.full:
            said = {
                "type": "storage_error",
                "code": "storage_full",
                "message": "The disk is full.",
                "hint": None,
            }
            return {"error": said}, 507
        return None

    def serve(self):
        return WsgiCall(self.app.wsgi_app)

    def echo(self, **path):
        return {
            "method": request.method,
            "target": request.environ["REQUEST_URI"],
            "headers": dict(request.headers),
            "body": request.get_data().decode("latin-1"),
            "address": request.remote_addr,
            "relayed": request.environ.get("orchestrator.relayed"),
        }

    def die(self):
        """Lost while it works on it."""
        self.cut()
        self.go.wait(10)
        return {"done": True}

    def document(self):
        if request.method == "PUT":
            if "If-Match" not in request.headers:
                return {"error": {"code": "precondition_required"}}, 428
            return {"match": request.headers["If-Match"]}
        response = Response('{"text": "x"}', headers={"ETag": '"v1"'}, content_type="application/json")
        return response.make_conditional(request)

    def file(self):
        return send_file(io.BytesIO(LARGE), mimetype="application/octet-stream", conditional=True, etag="e1")

    def events(self):
        gone = request.environ["waitress.client_disconnected"]

        def parts():
            try:
                yield b'id: 1\ndata: {"token":"one"}\n\n'
                self.blocked.set()
                while not self.go.wait(0.05):
                    if gone():
                        return
                yield b'id: 2\ndata: {"done":true}\n\n'
            finally:
                self.left.set()

        return Response(parts(), content_type="text/event-stream")

    def large(self):
        def parts():
            yield LARGE[:1000]
            self.blocked.set()
            self.go.wait(10)
            yield LARGE[1000:]

        return Response(parts(), content_type="application/octet-stream")

    def teapot(self):
        return {"error": {"code": "short_and_stout"}}, 418

    def hops(self):
        """An answer that says more than is its to say."""
        said = {
            "Keep-Alive": "9",
            "X-Inner": "1",
            "ETag": "2",
            "Last-Modified": "3",
            "Connection": "X-Inner, Last-Modified",
            "Set-Cookie": "a=1",
            "Content-Security-Policy": "script-src *",
        }
        return Response("{}", headers=said)

    def lie(self, length):
        """An answer of another length than it says."""
        return Response([b"twenty bytes of text"], headers={"Content-Length": length})

    def hang(self):
        self.blocked.set()
        self.go.wait(30)
        return "late"

    def wait(self):
        """A model that writes its whole answer before the head comes."""
        self.blocked.set()
        gone = request.environ["waitress.client_disconnected"]
        while not self.go.wait(0.05):
            if gone():
                self.left.set()
                break
        return {}

    def half(self):
        def parts():
            yield b"half"
            raise RuntimeError("the rest never comes")

        return Response(
            parts(), content_type="text/event-stream" if request.args.get("events") else "text/plain"
        )

    def completions(self):
        def parts():
            yield b'data: {"choices":[]}\n\ndata: {"cho'
            self.cut()
            self.go.wait(10)

        if request.get_json().get("stream"):
            return Response(parts(), content_type="text/event-stream")
        self.cut()
        self.go.wait(10)
        return {}
