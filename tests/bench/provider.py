"""A quick OpenID provider for thousands of sign-ins, in a process of its own: discovery, one key, and ID tokens that are really signed.

It checks nothing, knows everybody, and needs nothing that Python does not bring. Loopback only."""

import base64
import hashlib
import json
import multiprocessing
import secrets
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# An ID token's claims of usual size, and an access token and a refresh token as others make them.
GROUPS = [f"department-{number:03}" for number in range(20)]
ACCESS, REFRESH = secrets.token_urlsafe(900), secrets.token_urlsafe(75)


def encoded(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def prime(bits):
    while True:
        number = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if number % 65537 != 1 and all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11)):
            return number


class Key:
    """RS256 (RFC 8017 section 8.2), by the remainders of both primes."""

    def __init__(self):
        self.p, self.q = prime(1024), prime(1024)
        self.n = self.p * self.q
        d = pow(65537, -1, (self.p - 1) * (self.q - 1))
        self.dp, self.dq, self.inverse = d % (self.p - 1), d % (self.q - 1), pow(self.q, -1, self.p)

    def public(self):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "e": "AQAB", "n": encoded(self.n.to_bytes(256, "big"))}

    def token(self, claims):
        text = encoded({"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." + encoded(claims)
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()
        message = int.from_bytes(b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest, "big")
        a, b = pow(message, self.dp, self.p), pow(message, self.dq, self.q)
        return text + "." + encoded((b + (a - b) * self.inverse % self.p * self.q).to_bytes(256, "big"))


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        issuer = self.server.issuer
        if self.path == "/keys":
            self.answer({"keys": [self.server.key.public()]})
        else:
            self.answer({
                "issuer": issuer, "authorization_endpoint": f"{issuer}/auth", "token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/keys",
                "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"], "scopes_supported": ["openid"],
            })

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        # The code says who it is for, and the nonce that was sent along.
        person, nonce = form["code"][0].split(".")
        now = int(time.time())
        claims = {"iss": self.server.issuer, "aud": "bench", "sub": person, "nonce": nonce, "iat": now, "exp": now + 3600, "email": f"{person}@example.org", "name": person, "groups": GROUPS}
        self.answer({"access_token": ACCESS, "refresh_token": REFRESH, "token_type": "Bearer", "expires_in": 3600, "id_token": self.server.key.token(claims)})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    disable_nagle_algorithm = True


def serve(issuer, port, ready):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    Answers.wbufsize, Answers.disable_nagle_algorithm = 1 << 16, True
    with Server(("127.0.0.1", port), Answers) as server:
        server.issuer, server.key = issuer, Key()
        ready.set()
        server.serve_forever()


class Provider:
    """The process; ends with us."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.issuer, ready = f"http://127.0.0.1:{self.port}", multiprocessing.Event()
        self.process = multiprocessing.Process(target=serve, args=(self.issuer, self.port, ready), daemon=True)
        self.process.start()
        if not ready.wait(30):
            raise RuntimeError("the provider does not start")

    def code(self, person, location):
        """What the browser would bring back: the path and query of the callback."""
        asked = parse_qs(urlsplit(location).query)
        back = urlsplit(asked["redirect_uri"][0])
        return f"{back.path}?code={person}.{asked['nonce'][0]}&state={asked['state'][0]}"
