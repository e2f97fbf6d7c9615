"""What a provider plugin needs of any kind, in Python: the handshake, mutual
TLS, errors, the session, and the end of the process.

A plugin is a class whose methods are named as the rpcs of provider.proto:
they take the request and gRPC's context, return the response or, where the
rpc streams, yield responses, and raise Refused. An rpc without a method is
answered with "unsupported". Its constructor takes a Plugin, through which it
makes messages (Plugin.pb) and gives hints (Plugin.hint).

The proto says what must be kept true; this file keeps the lifetime: a process
ends within a second when its session breaks, when none comes within 30
seconds, or when standard input ends, which means that the host is gone.
"""

import base64
import concurrent.futures
import datetime
import json
import logging
import os
import pathlib
import queue
import sys
import tempfile
import threading
from collections import namedtuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "postern.provider.v1"
SESSION_WAIT = 30.0  # seconds until the first session
GRACE = 0.2  # seconds that running calls get when the host is gone

# The status code that goes with each kind; the host looks at the kind alone.
CODES = {
    "throttled": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "unauthorized": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "grant_expired": grpc.StatusCode.UNAUTHENTICATED,
    "misconfigured": grpc.StatusCode.FAILED_PRECONDITION,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "conflict": grpc.StatusCode.ABORTED,
    "cursor_expired": grpc.StatusCode.OUT_OF_RANGE,
}


class Refused(Exception):
    """An error as the contract has it: the kind decides what the host does."""

    def __init__(self, kind, message, code="", op=""):
        super().__init__(message)
        self.kind, self.message, self.code, self.op = kind, message, code, op

    def detail(self, pb):
        return pb.ErrorDetail(kind=self.kind, op=self.op, code=self.code, message=self.message)


class Messages:
    """The messages of provider.proto, made from its compiled form."""

    def __init__(self):
        here = pathlib.Path(__file__).resolve().parent
        # Beside this file where it is installed, elsewhere in the repository.
        places = [here / "provider.binpb", here / "../../provider/providerpb/provider.binpb"]
        found = next((p for p in places if p.exists()), None)
        if found is None:
            sys.exit(f"provider.binpb is not beside {__file__}")
        files = descriptor_pb2.FileDescriptorSet.FromString(found.read_bytes())
        self._pool = descriptor_pool.DescriptorPool()
        for f in files.file:
            self._pool.AddSerializedFile(f.SerializeToString())
        self.methods = files.file[-1].service[0].method

    def named(self, full_name):
        descriptor = self._pool.FindMessageTypeByName(full_name.lstrip("."))
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self._pool).GetPrototype(descriptor)

    def __getattr__(self, name):
        made = self.named(f"{PACKAGE}.{name}")
        setattr(self, name, made)
        return made


class Plugin:
    """A running plugin: the session with the host, and how it ends."""

    def __init__(self, make_provider):
        self.pb = Messages()
        self.began, self.ended = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._told = None  # what the session's stream still has to say
        self._last = 0
        self.provider = make_provider(self)

    def hint(self, account):
        """Tells the host that something happened to an account."""
        with self._lock:
            if self._told is None:
                return
            self._last += 1
            hint = self.pb.Hint(kind="changed", account=account)
            self._told.put(self.pb.SessionResponse(seq=self._last, hint=hint))

    def Session(self, requests, context):
        first = next(requests, None)
        if first is None or not first.HasField("hello"):
            raise Refused("invalid", "the stream does not begin with hello")
        with self._lock:
            if self._told is not None:
                raise Refused("conflict", "a session is running already", code="session_exists")
            told = self._told = queue.SimpleQueue()
        self.began.set()

        def listen():
            try:
                for _ in requests:
                    pass  # answers to our hints: there is nothing to do
            except grpc.RpcError:
                pass
            told.put(None)  # half-closed or broken: the host wants us to end

        threading.Thread(target=listen, daemon=True).start()
        try:
            yield self.pb.SessionResponse(hello=self.pb.PluginHello())
            while (message := told.get()) is not None:
                yield message
        finally:
            self.ended.set()

    def handlers(self):
        """The service, rpc by rpc, as its descriptor lists them."""
        table = {}
        for m in self.pb.methods:
            verb = self.Session if m.name == "Session" else getattr(self.provider, m.name, self._unsupported)
            make = {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
                (True, True): grpc.stream_stream_rpc_method_handler,
            }[m.client_streaming, m.server_streaming]
            table[m.name] = make(
                self._streams(m.name, verb) if m.server_streaming else self._answers(m.name, verb),
                request_deserializer=self.pb.named(m.input_type).FromString,
                response_serializer=self.pb.named(m.output_type).SerializeToString,
            )
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.Provider", table)

    @staticmethod
    def _unsupported(request, context):
        raise Refused("invalid", "the provider cannot do this", code="unsupported")

    def _answers(self, name, verb):
        def call(request, context):
            try:
                return verb(request, context)
            except Exception as e:
                self._fail(name, context, e)

        return call

    def _streams(self, name, verb):
        def call(request, context):
            try:
                yield from verb(request, context)
            except Exception as e:
                self._fail(name, context, e)

        return call

    def _fail(self, name, context, error):
        if not isinstance(error, Refused):
            logging.exception("a verb failed")
            error = Refused("internal", f"{type(error).__name__} in {name}")
        error.op = error.op or name
        code = CODES.get(error.kind, grpc.StatusCode.INTERNAL)
        detail = any_pb2.Any(value=error.detail(self.pb).SerializeToString())
        detail.type_url = f"type.googleapis.com/{PACKAGE}.ErrorDetail"
        # The status with details, which gRPC carries in a header of its own:
        # int32 code = 1; string message = 2; repeated Any details = 3.
        number = code.value[0]
        status = bytes([0x08, number]) + field(2, error.message.encode()) + field(3, detail.SerializeToString())
        context.abort_with_status(Status(code, error.message, (("grpc-status-details-bin", status),)))


class Status(namedtuple("Status", "code details trailing_metadata"), grpc.Status):
    pass


def field(number, data):
    """A field of bytes, as protobuf writes it."""
    out, n = bytearray([number << 3 | 2]), len(data)
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n]) + data


def plain(service, answers):
    """A service of go-plugin's own whose messages need no types."""
    return grpc.method_handlers_generic_handler(
        service,
        {name: grpc.unary_unary_rpc_method_handler(lambda request, context, a=answer: a()) for name, answer in answers.items()},
    )


def certificate():
    """A key and a certificate of this process alone; the host trusts it
    because it gets it by our standard output."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, cert


class Lines(logging.Formatter):
    """Log lines whose level the host takes up."""

    def format(self, record):
        line = {"@level": record.levelname.lower(), "@message": record.getMessage()}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def serve(make_provider):
    """Runs a plugin until its host is gone. It is all that a main does."""
    env = os.environ
    if env.get("POSTERN_PLUGIN") != "postern.provider" or not env.get("PLUGIN_CLIENT_CERT"):
        sys.exit("This is a plugin of Postern: put it into plugins.dir, and Postern starts it.")
    if "1" not in env.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(","):
        sys.exit("This plugin speaks version 1 of the protocol.")
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(Lines())
    level = env.get("POSTERN_PLUGIN_LOG_LEVEL", "info").upper()
    logging.basicConfig(handlers=[log], level=level if level in ("DEBUG", "INFO", "WARN", "ERROR") else "INFO")

    plugin = Plugin(make_provider)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64))
    server.add_generic_rpc_handlers((
        plugin.handlers(),
        plain("grpc.health.v1.Health", {"Check": lambda: b"\x08\x01"}),  # status = SERVING
        plain("plugin.GRPCController", {"Shutdown": lambda: plugin.ended.set() or b""}),
    ))
    key, cert = certificate()
    credentials = grpc.ssl_server_credentials(
        [(key, cert.public_bytes(serialization.Encoding.PEM))],
        root_certificates=env["PLUGIN_CLIENT_CERT"].encode(),
        require_client_auth=True,
    )
    # The host's folder is this process's alone.
    socket = os.path.join(env.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.mkdtemp(), "plugin")
    server.add_secure_port(f"unix:{socket}", credentials)
    server.start()

    if env.get("POSTERN_PLUGIN_LIFELINE") == "stdin":
        def lifeline():
            while os.read(0, 4096):
                pass
            plugin.ended.set()

        threading.Thread(target=lifeline, daemon=True).start()
    threading.Timer(SESSION_WAIT, lambda: plugin.began.is_set() or plugin.ended.set()).start()

    der = base64.b64encode(cert.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
    print(f"1|1|unix|{socket}|grpc|{der}", flush=True)

    plugin.ended.wait()
    server.stop(GRACE).wait(2 * GRACE)
    pathlib.Path(socket).unlink(missing_ok=True)
    os._exit(0)  # whatever still runs
