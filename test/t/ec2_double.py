# test/t/ec2_double.py [CERTIFICATE KEY]
#
# A small cloud that speaks the EC2 Query API and nothing beyond it: it checks
# signatures by a computation of its own, and every parameter, and answers as
# the API Reference describes.  Also the instance metadata service, version 2.
#
# Prints two ports of 127.0.0.1 that it listens on: for the API, with TLS if
# there is a certificate, and for tests, always without.  Ends with its standard
# input.
#
# Tests talk to it at /control, a POST of a JSON object; keys that are there
# take effect, the answer is what /control knows:
#
#   instances   {id: state} sets instances (of all regions), or adds them
#   keys        {access key: secret key} that are good
#   token       session token that is wanted of each request, or null
#   pending, stopping   s that a start and a stop take
#   lag         s that Describe is behind
#   latency     s before each answer of the API
#   hold        true: calls of the API wait, with no effect yet, for false
#   page        instances in an answer at the most
#   clock       s that the cloud's clock is ahead
#   faults      a list of {action, code, message, status, times, ids, drop,
#               garbage, after, page}: the next calls of the action (of any, without)
#               that name one of the ids (any, without) end so; {id} in the
#               message is the first of the ids.  after: in spite of it the
#               order is carried out.  page: only of a further page
#   role, role_keys, role_life   the metadata service's answers; life in s
#   forget      true: forgets the log of calls

import datetime
import hashlib
import hmac
import json
import re
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
SKEW = 300


class Refusal(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


class Instance:
    """Its states with the times from which they count."""

    def __init__(self, state, reason=None):
        self.history = [(0.0, state)]
        self.reason = reason

    def at(self, when):
        state = self.history[0][1]
        for since, name in self.history:
            if since <= when:
                state = name
        return state

    def set(self, now, *states):
        self.history = [entry for entry in self.history if entry[0] <= now]
        self.history.extend(states)


class Cloud:
    def __init__(self):
        self.lock = threading.RLock()
        self.instances = {}
        self.keys = {}
        self.token = None
        self.pending = self.stopping = 0.0
        self.lag = self.latency = self.clock = 0.0
        self.page = 1000
        self.faults = []
        self.role = None
        self.role_keys = None
        self.role_life = 3600
        self.metadata_tokens = set()
        self.log = []
        self.active = 0
        self.most_active = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def control(self, wanted):
        with self.lock:
            for id, state in wanted.get("instances", {}).items():
                reason = None
                if ":" in state:
                    state, reason = state.split(":", 1)
                self.instances[id] = Instance(state, reason)
            for name in ("keys", "token", "pending", "stopping", "lag", "latency",
                         "page", "clock", "faults", "role", "role_keys", "role_life"):
                if name in wanted:
                    setattr(self, name, wanted[name])
            if "hold" in wanted:
                (self.go_on.clear if wanted["hold"] else self.go_on.set)()
            if wanted.get("forget"):
                self.log.clear()
                self.most_active = 0
            now = time.time()
            return {
                "instances": {id: i.at(now) for id, i in self.instances.items()},
                "log": self.log,
                "faults": self.faults,
                "active": self.active,
                "most_active": self.most_active,
            }

    def now(self):
        return time.time() + self.clock

    # Signature Version 4, from the documentation.

    def check_signature(self, handler, body):
        header = handler.headers.get("Authorization")
        if header is None:
            raise Refusal("MissingAuthenticationToken",
                          "Request is missing Authentication Token", 403)
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/ec2/aws4_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", header)
        if match is None:
            raise Refusal("IncompleteSignature", "malformed Authorization header")
        access_key, day, region, signed, signature = match.groups()
        names = signed.split(";")
        wanted = {"host", "content-type", "x-amz-date"} | {
            name.lower() for name in handler.headers if name.lower().startswith("x-amz-")
        }
        if names != sorted(names) or not wanted <= set(names):
            raise Refusal("IncompleteSignature", "headers are not signed: " + signed)
        date = handler.headers["X-Amz-Date"]
        sent = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(
            tzinfo=datetime.timezone.utc)
        if not date.startswith(day):
            raise Refusal("SignatureDoesNotMatch", "Date in Credential scope does not match", 403)
        if access_key not in self.keys:
            raise Refusal("AuthFailure",
                          "AWS was not able to validate the provided access credentials", 401)

        canonical = "\n".join(
            ["POST", urllib.parse.quote(handler.path, safe="/-_.~"), ""]
            + ["%s:%s" % (name, " ".join(handler.headers[name].split())) for name in names]
            + ["", signed, hashlib.sha256(body).hexdigest()])
        key = ("AWS4" + self.keys[access_key]).encode()
        for part in (day, region, "ec2", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/ec2/aws4_request",
                          hashlib.sha256(canonical.encode()).hexdigest()])
        good = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(good, signature):
            raise Refusal("SignatureDoesNotMatch",
                          "The request signature we calculated does not match", 403)
        if abs(sent.timestamp() - self.now()) > SKEW:
            raise Refusal("RequestExpired", "Request has expired.")
        token = handler.headers.get("X-Amz-Security-Token")
        if self.token is not None and token != self.token:
            raise Refusal("AuthFailure" if token is None else "ExpiredToken",
                          "The provided token has expired." if token else "no token", 401)
        return access_key, region

    # Parameters.

    def parameters(self, handler, body):
        if handler.headers.get_content_type() != "application/x-www-form-urlencoded":
            raise Refusal("InvalidParameterValue", "content type")
        pairs = urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True,
                                       strict_parsing=True)
        result = dict(pairs)
        if len(result) != len(pairs):
            raise Refusal("InvalidParameterValue", "a parameter is there twice")
        if result.pop("Version", None) != "2016-11-15":
            raise Refusal("NoSuchVersion", "Version is missing or unknown")
        return result

    def numbered(self, parameters, prefix):
        values = []
        while prefix + str(len(values) + 1) in parameters:
            values.append(parameters.pop(prefix + str(len(values) + 1)))
        return values

    def none_left(self, parameters):
        if parameters:
            raise Refusal("UnknownParameter", "unknown: " + " ".join(parameters))

    # Actions.

    def find_fault(self, action, ids, page):
        for fault in self.faults:
            if fault.get("action", action) != action or fault.get("page", page) != page:
                continue
            named = [id for id in ids if id in fault["ids"]] if "ids" in fault else ids
            if not named:
                continue
            if "times" in fault:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
            return fault, named
        return None, None

    def change(self, action, ids):
        if not ids:
            raise Refusal("MissingParameter", "InstanceId")
        if len(ids) > 1000 or len(set(ids)) != len(ids):
            raise Refusal("InvalidParameterValue", "too many ids, or one twice")
        for id in ids:
            if not re.fullmatch(r"i-[0-9a-f]{4,17}", id):
                raise Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{id}"')
        missing = [id for id in ids if id not in self.instances]
        if len(missing) == 1:
            raise Refusal("InvalidInstanceID.NotFound",
                          f"The instance ID '{missing[0]}' does not exist")
        if missing:
            raise Refusal("InvalidInstanceID.NotFound",
                          "The instance IDs '%s' do not exist" % ", ".join(missing))
        start = action == "StartInstances"
        now = time.time()
        for id in ids:
            state = self.instances[id].at(now)
            if state not in (("pending", "running", "stopped") if start else
                             ("running", "stopping", "stopped")):
                raise Refusal("IncorrectInstanceState", "The instance '%s' is not in a state from "
                              "which it can be %s." % (id, "started" if start else "stopped"))
        items = []
        for id in ids:
            instance = self.instances[id]
            before = instance.at(now)
            if start and before == "stopped":
                instance.reason = None
                instance.set(now, (now, "pending"), (now + self.pending, "running"))
            elif not start and before == "running":
                instance.reason = "Client.UserInitiatedShutdown|Client.UserInitiatedShutdown: by user"
                instance.set(now, (now, "stopping"), (now + self.stopping, "stopped"))
            items.append("<item><instanceId>%s</instanceId>%s%s</item>" % (
                id, self.state("currentState", instance.at(now)),
                self.state("previousState", before)))
        return "<instancesSet>%s</instancesSet>" % "".join(items)

    def state(self, element, name):
        return "<%s><code>%d</code><name>%s</name></%s>" % (
            element, CODES[name] | 256, name, element)

    def describe(self, parameters, ids):
        limit = min(int(parameters.pop("MaxResults")), self.page)
        token = parameters.pop("NextToken", None)
        self.none_left(parameters)
        if not ids or len(ids) > 200:
            raise Refusal("FilterLimitExceeded", "1 to 200 values")
        if any("*" in id or "?" in id for id in ids):
            raise Refusal("InvalidParameterValue", "wildcards")
        start = 0
        mark = hashlib.sha256(" ".join(ids).encode()).hexdigest()
        if token is not None:
            position, of = token.split("+/=", 1)
            if of != mark:
                raise Refusal("InvalidNextToken", "of another request")
            start = int(position)
        when = time.time() - self.lag
        found = sorted(id for id in set(ids) if id in self.instances)
        items = []
        for id in found[start:start + limit]:
            instance = self.instances[id]
            code, _, text = (instance.reason or "|").partition("|")
            reason = "" if not code else (
                "<stateReason><code>%s</code><message>%s</message></stateReason>"
                % (escape(code), escape(text)))
            items.append(
                "<item><reservationId>r-1</reservationId><ownerId>1</ownerId><instancesSet><item>"
                "<instanceId>%s</instanceId><imageId>ami-1</imageId>%s%s</item></instancesSet></item>"
                % (id, self.state("instanceState", instance.at(when)), reason))
        more = ("<nextToken>%s</nextToken>" % (f"{start + limit}+/={mark}")
                if start + limit < len(found) else "")
        return "<reservationSet>%s</reservationSet>%s" % ("".join(items), more)

    def act(self, handler, body):
        with self.lock:
            # what is wrong with a request is found before its effects
            access_key, region = self.check_signature(handler, body)
            parameters = self.parameters(handler, body)
            action = parameters.pop("Action", None)
            if action in ("StartInstances", "StopInstances"):
                ids = self.numbered(parameters, "InstanceId.")
                self.none_left(parameters)
            elif action == "DescribeInstances":
                if parameters.pop("Filter.1.Name", None) != "instance-id":
                    raise Refusal("InvalidParameterValue", "Filter.1.Name")
                ids = self.numbered(parameters, "Filter.1.Value.")
            else:
                raise Refusal("InvalidAction", "unknown: " + str(action))
            entry = {"action": action, "ids": ids, "region": region, "key": access_key,
                     "time": time.time(), "page": "NextToken" in parameters}
            self.log.append(entry)
            fault, named = self.find_fault(action, ids, entry["page"])
            if fault is not None and not fault.get("after"):
                entry["fault"] = fault.get("code", "broken")
                return self.fail(fault, named)
            try:
                if action == "DescribeInstances":
                    content = self.describe(parameters, ids)
                else:
                    content = self.change(action, ids)
            except Refusal as refusal:
                entry["fault"] = refusal.code
                raise
            if fault is not None:
                entry["fault"] = fault.get("code", "broken")
                return self.fail(fault, named)
            return 200, ('<?xml version="1.0" encoding="UTF-8"?>\n<%sResponse xmlns="%s">'
                         "<requestId>r</requestId>%s</%sResponse>"
                         % (action, NAMESPACE, content, action))

    def fail(self, fault, named):
        if fault.get("drop"):
            return 0, ""
        if "garbage" in fault:
            return fault.get("status", 200), fault["garbage"]
        raise Refusal(fault["code"], fault.get("message", "").replace("{id}", named[0]),
                      fault.get("status", 400))


cloud = Cloud()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(cloud.now())

    def reply(self, status, text, kind="text/xml"):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/control":
            self.reply(200, json.dumps(cloud.control(json.loads(body or "{}"))))
            return
        with cloud.lock:
            cloud.active += 1
            cloud.most_active = max(cloud.most_active, cloud.active)
        try:
            time.sleep(cloud.latency)
            cloud.go_on.wait()
            status, text = cloud.act(self, body)
        except Refusal as refusal:
            status, text = refusal.status, (
                '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>%s</Code>'
                "<Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>"
                % (escape(refusal.code), escape(refusal.message)))
        finally:
            with cloud.lock:
                cloud.active -= 1
        if status == 0:
            self.close_connection = True
        else:
            self.reply(status, text)

    def do_PUT(self):
        if self.path != "/latest/api/token" or not self.headers.get(
                "X-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
            self.reply(400, "")
            return
        token = "token-%d==" % len(cloud.metadata_tokens)
        cloud.metadata_tokens.add(token)
        cloud.log.append({"action": "token"})
        self.reply(200, token, "text/plain")

    def do_GET(self):
        prefix = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("X-aws-ec2-metadata-token") not in cloud.metadata_tokens:
            self.reply(401, "")
        elif self.path == prefix and cloud.role:
            self.reply(200, cloud.role, "text/plain")
        elif cloud.role and self.path == prefix + cloud.role:
            cloud.log.append({"action": "role"})
            expires = datetime.datetime.utcfromtimestamp(time.time() + cloud.role_life)
            self.reply(200, json.dumps({
                "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC",
                "AccessKeyId": cloud.role_keys[0], "SecretAccessKey": cloud.role_keys[1],
                "Token": cloud.role_keys[2],
                "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}, indent=2),
                "text/plain")
        else:
            self.reply(404, "")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    # tests talk to it without TLS
    control = Server(("127.0.0.1", 0), Handler)
    for each in (server, control):
        threading.Thread(target=each.serve_forever, daemon=True).start()
    print(server.server_address[1], control.server_address[1], flush=True)
    sys.stdin.read()


main()
