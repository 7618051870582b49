# test/t/foreign_agent.py [OPTION]... TARGET LOG
#
# An agent as somebody else may have written it: another language, another
# gRPC library, and the contract as it was before ours: fields 1 to 6 of the
# request, 1 and 2 of the response, two methods, an answer before it acts.
#
#   --states           a newer one: has GetClusterPowerState, and replies to
#                      orders that the instances are on their way
#   --cert, --key      files: TLS
#   --client-ca        file: wants a certificate of this authority
#   --token-file       file with one token a line: wants one of them
#   --hold             file: calls for the cluster "held" wait until it exists
#
# Appends one JSON object a call to LOG.  Clusters called "refused" get a reply
# with an error, those called "denied" a status.  Prints a line with the port
# when it listens; ends with its standard input.

import argparse
import json
import os
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

RUNNING, STOPPED, STARTING, STOPPING = 1, 2, 3, 4


def field(name, number, type_name, repeated=False, message=None):
    field = descriptor_pb2.FieldDescriptorProto
    return field(
        name=name,
        number=number,
        type=getattr(field, "TYPE_" + type_name),
        type_name=message,
        label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
    )


def message_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="agent.proto", package="agent", syntax="proto3"
    )
    file.message_type.add(
        name="ClusterStatusChangeRequest",
        field=[
            field("account_name", 1, "STRING"),
            field("region", 2, "STRING"),
            field("cluster_id", 3, "STRING"),
            field("instances_id_list", 4, "STRING", repeated=True),
            field("requester", 5, "STRING"),
            field("description", 6, "STRING"),
        ],
    )
    file.message_type.add(
        name="InstanceState",
        field=[field("instance_id", 1, "STRING"), field("state", 2, "INT32")],
    )
    file.message_type.add(
        name="ClusterStatusChangeResponse",
        field=[
            field("error", 1, "INT32"),
            field("message", 2, "STRING"),
            field("instance_states", 101, "MESSAGE", True, ".agent.InstanceState"),
        ],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [
        factory.GetPrototype(pool.FindMessageTypeByName("agent." + name))
        for name in (
            "ClusterStatusChangeRequest",
            "ClusterStatusChangeResponse",
            "InstanceState",
        )
    ]


Request, Response, InstanceState = message_classes()


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Agent:
    def __init__(self, options):
        self.options = options
        self.log = open(options.log, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.power = {}

    def write(self, line):
        with self.lock:
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()

    def check_token(self, metadata, context):
        if self.options.token_file is None:
            return
        tokens = read(self.options.token_file).decode().split()
        if metadata.get("authorization") not in ["Bearer " + t for t in tokens]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    def reply(self, method, request):
        if method == "GetClusterPowerState":
            state = self.power.get(request.cluster_id, STOPPED)
        elif not self.options.states:
            return Response(message="on its way")
        else:
            on = method == "PowerOnCluster"
            self.power[request.cluster_id] = RUNNING if on else STOPPED
            state = STARTING if on else STOPPING
        return Response(
            message="known",
            instance_states=[
                InstanceState(instance_id=instance, state=state)
                for instance in request.instances_id_list
            ],
        )

    def answer(self, method, request, context):
        metadata = dict(context.invocation_metadata())
        line = {
            "method": method,
            "account_name": request.account_name,
            "region": request.region,
            "cluster_id": request.cluster_id,
            "instances_id_list": list(request.instances_id_list),
            "requester": request.requester,
            "description": request.description,
            "x-request-id": metadata.get("x-request-id"),
            "x-attempt": metadata.get("x-attempt"),
        }
        if "authorization" in metadata:
            line["authorization"] = metadata["authorization"]
        self.write(line)
        self.check_token(metadata, context)
        if request.cluster_id == "denied":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        if request.cluster_id == "refused":
            return Response(error=3, message="machine is on fire 🔥")
        if request.cluster_id.startswith("held"):
            while context.is_active() and not os.path.exists(self.options.hold):
                time.sleep(0.01)
        return self.reply(method, request)

    def handler(self, method):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(method, request, context),
            request_deserializer=Request.FromString,
            response_serializer=Response.SerializeToString,
        )


def listen(server, options):
    if options.cert is None:
        return server.add_insecure_port(options.target)
    ca = options.client_ca and read(options.client_ca)
    credentials = grpc.ssl_server_credentials(
        [(read(options.key), read(options.cert))], ca, ca is not None
    )
    return server.add_secure_port(options.target, credentials)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", action="store_true")
    for option in ("cert", "key", "client-ca", "token-file", "hold"):
        parser.add_argument("--" + option)
    parser.add_argument("target")
    parser.add_argument("log")
    options = parser.parse_args()

    agent = Agent(options)
    methods = ["PowerOnCluster", "PowerOffCluster"]
    if options.states:
        methods.append("GetClusterPowerState")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16),
        options=[("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "agent.AgentService", {name: agent.handler(name) for name in methods}
            )
        ]
    )
    port = listen(server, options)
    if not port:
        sys.exit("cannot listen on " + options.target)
    server.start()
    print("listening", port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
