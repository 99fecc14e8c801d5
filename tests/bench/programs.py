"""The programs of the comparison and their configurations: one worker each, loopback only, the same application behind all of them."""

import base64
import json
import os
import resource
import socket
import subprocess

import machine
from machine import MEASURED, REST, free_port

# The client of the certified provider that the gateway signs people in with, by HTTP Basic.
CLIENT = "basic"
BODY = "x" * 100
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
MODULES = "/usr/lib/apache2/modules"


def nginx_binary():
    return "/usr/sbin/nginx"


def nginx(house, name, servers, workers=1, cores=None, http="", port=None):
    user = "user root;" if os.getuid() == 0 else ""
    spool = "".join(f"{kind}_temp_path {house.path(name)}-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = house.write(f"{name}.conf", f"""{user}
daemon off; worker_processes {workers}; worker_rlimit_nofile {FILES}; pid {house.path(name)}.pid; error_log stderr warn;
events {{ worker_connections 16384; }}
http {{ {spool} keepalive_requests 1000000000; keepalive_timeout 300s; {http} {servers} }}
""")
    return house.start(name, [nginx_binary(), "-e", "stderr", "-p", house.folder, "-c", config], port, cores)


class Application:
    """What stands behind every program: nginx with answers of several sizes, and `streams.Streams` for events and WebSockets."""

    def __init__(self, house, streams_port):
        self.port, self.streams = free_port(), streams_port
        files = house.path("files")
        os.mkdir(files)
        for name, size in (("1k", 1 << 10), ("100k", 100 << 10), ("16m", 16 << 20), ("1g", 1 << 30)):
            with open(os.path.join(files, name), "wb") as file:
                file.truncate(size)
        nginx(house, "application", f"""server {{ listen 127.0.0.1:{self.port} backlog=4096; access_log off; client_max_body_size 0;
            sendfile on; root {files}; open_file_cache max=10;
            location / {{ return 200 "{BODY}"; }} location /files/ {{ alias {files}/; }} }}""", cores=REST, port=self.port)


def certificate(house):
    cert, key = house.path("cert.pem"), house.path("key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with open(house.path("both.pem"), "w", encoding="ascii") as both:
        for part in (cert, key):
            with open(part, encoding="ascii") as file:
                both.write(file.read())
    return cert, key, house.path("both.pem")


def nginx_proxy(house, application, tls=None, workers=1, name="nginx"):
    """`proxy_pass` with kept connections and an access log, as nginx has it; no authentication."""
    port, cores = free_port(), MEASURED if workers == 1 else None
    listen = f"listen 127.0.0.1:{port} backlog=4096" + (" ssl http2;" if tls else ";")
    if tls:
        listen += f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {CIPHER};"
    http = f"""upstream application {{ server 127.0.0.1:{application.port}; keepalive 64; keepalive_requests 1000000000; }}
        upstream streams {{ server 127.0.0.1:{application.streams}; }}
        access_log {house.path(name)}.log combined; http2_max_concurrent_streams 128;"""
    servers = f"""server {{ {listen} client_max_body_size 0;
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
        location / {{ proxy_pass http://application; }}
        location /files/1g {{ proxy_pass http://application; proxy_buffering off; proxy_request_buffering off; }}
        location /upload {{ proxy_pass http://streams; proxy_buffering off; proxy_request_buffering off; }}
        location /events {{ proxy_pass http://streams; proxy_buffering off; }}
        location /socket {{ proxy_pass http://streams; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}"""
    return Target("nginx", nginx(house, name, servers, workers, cores, http, port), port)


def haproxy(house, application, tls=None, name="haproxy"):
    """HAProxy writes no log file itself, so it has no access log here."""
    port = free_port()
    bind = f"bind 127.0.0.1:{port} backlog 4096" + (f" ssl crt {tls[2]} alpn h2,http/1.1 ciphersuites {CIPHER} ssl-min-ver TLSv1.3" if tls else "")
    config = house.write(f"{name}.cfg", f"""
global
  nbthread 1
  maxconn 4096
  tune.h2.max-concurrent-streams 128
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend in
  {bind}
  default_backend application
backend application
  server one 127.0.0.1:{application.port}
""")
    return Target("HAProxy", house.start(name, ["haproxy", "-db", "-f", config], port, MEASURED), port)


def vestibule(house, binary, application, logins, name="vestibule", workers=1, tls=None, session="", access_life=3600, log=True, issuer=None):
    port, admin = free_port(), free_port()
    origin = f"{'https' if tls else 'http'}://localhost:{port}"
    table = logins.provider(name, origin, access_life)["tables"][CLIENT] if issuer is None else PUBLIC_CLIENT.replace("ISSUER", issuer)
    key = base64.b64encode(os.urandom(32)).decode()
    house.write(f"{name}.key", key)
    encrypted = f'[server.tls]\ncert = "{tls[0]}"\nkey = "{tls[1]}"\n' if tls else ""
    access = f'access = "{house.path(name)}.log"' if log else ""
    config = house.write(f"{name}.toml", f"""
[server]
listen = "127.0.0.1:{port}"
public_url = "{origin}"
workers = {workers}
{encrypted}
[admin]
listen = "127.0.0.1:{admin}"
[log]
level = "warn"
audit = "off"
{access}
[session]
keys = [{{ file = "{name}.key" }}]
{session}
{table}
[route.application]
upstream = "http://127.0.0.1:{application.port}"
[route.application.paths]
"/public" = {{ access = "public" }}
[route.events]
path = "/events"
upstream = "http://127.0.0.1:{application.streams}"
[route.upload]
path = "/upload"
upstream = "http://127.0.0.1:{application.streams}"
[route.socket]
path = "/socket"
upstream = "http://127.0.0.1:{application.streams}"
""")
    program = house.start(name, [binary, "run", "-c", config], port, MEASURED if workers == 1 else None)
    return Target("vestibule", program, port, house.path(f"{name}.key"))


def apache(house, application, logins, name="apache"):
    port = free_port()
    provider = logins.provider(name, f"http://localhost:{port}", 3600)
    secret = provider["secret"].replace("\\", "\\\\").replace('"', '\\"')
    modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"]
    load = "\n".join(f"LoadModule {module}_module {MODULES}/mod_{module}.so" for module in modules)
    config = house.write(f"{name}.conf", f"""
ServerRoot {house.folder}
PidFile {house.path(name)}.pid
DefaultRuntimeDir {house.folder}
ErrorLog {house.path(name)}.error
ServerName localhost
{load}
User {'www-data' if os.getuid() == 0 else '#-1'}
Listen 127.0.0.1:{port}
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {house.path(name)}.log combined
OIDCProviderMetadataURL {provider['issuer']}/.well-known/openid-configuration
OIDCClientID post
OIDCClientSecret "{secret}"
OIDCProviderTokenEndpointAuth client_secret_post
OIDCPKCEMethod S256
OIDCScope "openid profile email groups"
OIDCRedirectURI http://localhost:{port}/_vestibule/callback
OIDCCryptoPassphrase {base64.b64encode(os.urandom(24)).decode()}
OIDCSessionInactivityTimeout 3600
<Location />
  AuthType openid-connect
  Require valid-user
</Location>
ProxyPass /_vestibule !
ProxyPass / http://127.0.0.1:{application.port}/
""")
    return Target("Apache mod_auth_openidc", house.start(name, ["apache2", "-DFOREGROUND", "-f", config], port, MEASURED), port)


def envoy(house, binary, application, logins, name="envoy"):
    port = free_port()
    provider = logins.provider(name, f"http://localhost:{port}", 3600)
    issuer = provider["issuer"]
    proto = "type.googleapis.com/envoy.extensions"
    oauth = {
        "token_endpoint": {"cluster": "provider", "uri": f"{issuer}/token", "timeout": "10s"},
        "authorization_endpoint": f"{issuer}/auth",
        "redirect_uri": f"http://localhost:{port}/_vestibule/callback",
        "redirect_path_matcher": {"path": {"exact": "/_vestibule/callback"}},
        "signout_path": {"path": {"exact": "/_vestibule/logout"}},
        "credentials": {"client_id": "post", "token_secret": {"name": "token"}, "hmac_secret": {"name": "hmac"}},
        "auth_scopes": ["openid", "profile", "email", "groups"],
        "auth_type": "URL_ENCODED_BODY",
        "use_refresh_token": True,
    }
    manager = {
        "@type": f"{proto}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [{"name": "file", "typed_config": {"@type": f"{proto}.access_loggers.file.v3.FileAccessLog", "path": house.path(f"{name}.log")}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "application"}}]}]},
        "http_filters": [
            {"name": "oauth", "typed_config": {"@type": f"{proto}.filters.http.oauth2.v3.OAuth2", "config": oauth}},
            {"name": "router", "typed_config": {"@type": f"{proto}.filters.http.router.v3.Router"}},
        ],
    }
    secrets = [("token", provider["secret"]), ("hmac", base64.b64encode(os.urandom(32)).decode())]
    config = {"static_resources": {
        "secrets": [{"name": key, "generic_secret": {"secret": {"inline_string": value}}} for key, value in secrets],
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [cluster("application", application.port), cluster("provider", int(issuer.rpartition(":")[2]))],
    }}
    file = house.write(f"{name}.json", json.dumps(config))
    command = [binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return Target("Envoy OAuth2 filter", house.start(name, command, port, MEASURED), port)


def oauth2_proxy(house, binary, application, issuer, client, secret="none", refresh=None, name="oauth2-proxy", port=None):
    """It keeps the whole session in its cookie, as vestibule does, and finds the provider before it listens."""
    port = port or free_port()
    command = [
        binary, "--provider=oidc", f"--oidc-issuer-url={issuer}", f"--client-id={client}", f"--redirect-url=http://localhost:{port}/_vestibule/callback",
        "--proxy-prefix=/_vestibule", "--scope=openid profile email groups", "--code-challenge-method=S256", "--insecure-oidc-skip-nonce=false", "--email-domain=*", "--cookie-secure=false",
        f"--upstream=http://127.0.0.1:{application.port}/", f"--http-address=127.0.0.1:{port}", "--skip-provider-button=true",
        *([f"--cookie-refresh={refresh}"] if refresh else []),
    ]
    secrets = {"OAUTH2_PROXY_CLIENT_SECRET": secret, "OAUTH2_PROXY_COOKIE_SECRET": base64.urlsafe_b64encode(os.urandom(32)).decode()}
    program = house.start(name, command, port, MEASURED, env={**os.environ, **secrets, "GOMAXPROCS": "1"})
    return Target("oauth2-proxy", program, port)


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port):
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address(port)}}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {"cluster_name": name, "endpoints": [endpoint]}}


class Target:
    """A program that is measured."""

    large, private = "/files/16m", "/"

    def __init__(self, label, program, port, key=None):
        self.label, self.program, self.port, self.key, self.cookie = label, program, port, key, ""

    def url(self, path="/", scheme="http"):
        return f"{scheme}://localhost:{self.port}{path}"

    def connect(self, window=None):
        connection = socket.socket()
        connection.settimeout(30)
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def request(self, path):
        return f"GET {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nCookie: {self.cookie}\r\n\r\n".encode()


class Logins:
    """The providers and the visitors: `logins.mjs`."""

    def __init__(self, house):
        import subprocess as sub
        here = os.path.dirname(os.path.abspath(__file__))
        program = house.start("logins", ["node", os.path.join(here, "logins.mjs")], cores=REST, stdin=sub.PIPE, stdout=sub.PIPE)
        self.program, self.pipe = program, program.process

    def ask(self, **command):
        self.pipe.stdin.write((json.dumps(command) + "\n").encode())
        self.pipe.stdin.flush()
        line = self.pipe.stdout.readline()
        answer = json.loads(line) if line else {"failed": self.program.said()}
        if "failed" in answer:
            raise RuntimeError(f"{command}: {answer['failed']}")
        return answer

    def provider(self, name, origin, access_life):
        return self.ask(do="provider", name=name, origin=origin, accessLife=access_life)

    def sign_in(self, target, scheme="http"):
        answer = self.ask(do="signIn", url=target.url("/", scheme))
        if answer["status"] != 200 or not answer["cookie"]:
            raise RuntimeError(f"{target.label}: nobody could sign in: {answer}\n{target.program.said()}")
        target.cookie = answer["cookie"]
        return target

    def refreshes(self, name):
        return self.ask(do="refreshes", name=name)["statuses"]


CIPHER = "TLS_AES_256_GCM_SHA384"
PUBLIC_CLIENT = """
[provider.bench]
issuer = "ISSUER"
client_id = "bench"
client_auth = "none"
"""
