"""Python: http.server and WSGI. Each answers with every path that applications read out of what it gives them, one a line."""

import http.server
import posixpath
import sys
import threading
import urllib.parse
import wsgiref.simple_server


def readings(target):
    yield target.split("?")[0]
    yield urllib.parse.urlsplit(target).path
    yield urllib.parse.unquote(urllib.parse.urlsplit(target).path)
    yield posixpath.normpath(urllib.parse.unquote(target.split("?")[0]))
    yield urllib.parse.urlsplit(urllib.parse.unquote(target)).path
    yield urllib.parse.urlparse(target).path
    yield urllib.parse.urlsplit(urllib.parse.urljoin("http://own.example/", target)).path
    yield "/".join(segment.strip() for segment in urllib.parse.unquote_plus(target.split("?")[0]).split("/"))


def said(target, *more):
    read = list(more)
    for reading in (readings(target),):
        try:
            read.extend(reading)
        except ValueError:
            pass
    return "\n".join(read).encode("utf-8", "replace")


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # What it would open in its folder.
        file = "/" + posixpath.relpath(self.translate_path(self.path), self.directory)
        body = said(self.path, file)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


def application(environ, start_response):
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said(path, path, posixpath.normpath(path))]


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
wsgiref.simple_server.make_server("127.0.0.1", int(sys.argv[2]), application, handler_class=Quiet).serve_forever()
