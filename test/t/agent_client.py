# test/t/agent_client.py
#
# A client of agents, written with another gRPC library, for tests of how
# power_agent lets clients in.
#
# Reads commands, one JSON object a line, and answers each with one:
#
#   {"do": "open", "channel": NAME, "target": HOST:PORT or unix:PATH,
#    "ca": FILE, "cert": FILE, "key": FILE}
#                       a connection of its own; without "ca" in the clear
#   {"do": "begin", "call": NAME, "channel": NAME, "method": NAME,
#    "cluster": ID, "token": TEXT, "authorization": [TEXT...],
#    "request_id": TEXT, "source": TEXT, "order": [NUMBER, NUMBER, NUMBER]}
#                       starts a call; all from "token" on may be left out
#   {"do": "end", "call": NAME}
#                       waits for it: {"code": NAME, "details": TEXT,
#                       "states": [NUMBER...]}
#   {"do": "cancel", "call": NAME}
#   {"do": "health", "channel": NAME, "service": NAME, "method": NAME}
#                       Check, unless another method is named:
#                       {"code": NAME, "details": TEXT, "status": NUMBER}
#   {"do": "close", "but": NAME}
#                       closes all connections but, if given, this one
#
# Ends with its standard input.

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PATIENCE = 60


def field(name, number, type_name, message=None, repeated=False):
    kinds = descriptor_pb2.FieldDescriptorProto
    return kinds(
        name=name,
        number=number,
        type=getattr(kinds, "TYPE_" + type_name),
        type_name=message,
        label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
    )


def message_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="client.proto", package="client", syntax="proto3"
    )
    file.message_type.add(
        name="Request",
        field=[
            field("account_name", 1, "STRING"),
            field("region", 2, "STRING"),
            field("cluster_id", 3, "STRING"),
            field("instances_id_list", 4, "STRING", repeated=True),
            field("request_id", 101, "STRING"),
            field("order", 102, "MESSAGE", ".client.Order"),
            field("source", 103, "STRING"),
        ],
    )
    file.message_type.add(
        name="Order",
        field=[
            field("timeline", 1, "UINT64"),
            field("epoch", 2, "UINT64"),
            field("counter", 3, "UINT64"),
        ],
    )
    file.message_type.add(
        name="State",
        field=[field("instance_id", 1, "STRING"), field("state", 2, "INT32")],
    )
    file.message_type.add(
        name="Response",
        field=[
            field("error", 1, "INT32"),
            field("message", 2, "STRING"),
            field("instance_states", 101, "MESSAGE", ".client.State", True),
        ],
    )
    file.message_type.add(
        name="HealthRequest", field=[field("service", 1, "STRING")]
    )
    file.message_type.add(
        name="HealthResponse", field=[field("status", 1, "INT32")]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [
        factory.GetPrototype(pool.FindMessageTypeByName("client." + name))
        for name in ("Request", "Response", "HealthRequest", "HealthResponse")
    ]


Request, Response, HealthRequest, HealthResponse = message_classes()


def read(path):
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


class Client:
    def __init__(self):
        self.channels = {}
        self.calls = {}

    def open(self, command):
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_metadata_size", 65536),
        ]
        if "ca" in command:
            credentials = grpc.ssl_channel_credentials(
                read(command["ca"]), read(command.get("key")), read(command.get("cert"))
            )
            channel = grpc.secure_channel(command["target"], credentials, options)
        else:
            channel = grpc.insecure_channel(command["target"], options)
        self.channels[command["channel"]] = channel
        return {}

    def close(self, command):
        for name in list(self.channels):
            if name != command.get("but"):
                self.channels.pop(name).close()
        return {}

    def begin(self, command):
        metadata = [
            ("authorization", value) for value in command.get("authorization", [])
        ]
        if "token" in command:
            metadata.append(("authorization", "Bearer " + command["token"]))
        method = self.channels[command["channel"]].unary_unary(
            command["method"],
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        request = Request(
            account_name="prod",
            cluster_id=command["cluster"],
            instances_id_list=["i-1"],
            request_id=command.get("request_id"),
            source=command.get("source"),
        )
        if "order" in command:
            names = ("timeline", "epoch", "counter")
            for name, number in zip(names, command["order"]):
                setattr(request.order, name, number)
        self.calls[command["call"]] = method.future(
            request, timeout=PATIENCE, metadata=metadata
        )
        return {}

    def end(self, command):
        call = self.calls.pop(command["call"])
        result = {"code": call.code().name, "details": call.details()}
        if call.code() == grpc.StatusCode.OK:
            result["states"] = [s.state for s in call.result().instance_states]
        return result

    def cancel(self, command):
        self.calls[command["call"]].cancel()
        return {}

    def health(self, command):
        method = self.channels[command["channel"]].unary_unary(
            "/grpc.health.v1.Health/" + command.get("method", "Check"),
            request_serializer=HealthRequest.SerializeToString,
            response_deserializer=HealthResponse.FromString,
        )
        call = method.future(
            HealthRequest(service=command["service"]), timeout=PATIENCE
        )
        result = {"code": call.code().name, "details": call.details()}
        if call.code() == grpc.StatusCode.OK:
            result["status"] = call.result().status
        return result


def main():
    client = Client()
    for line in sys.stdin:
        command = json.loads(line)
        result = getattr(client, command["do"])(command)
        print(json.dumps(result), flush=True)


main()
