# test/t/foreign_agent.py TARGET LOG
#
# An agent as somebody else may have written it: another language, another
# gRPC library, and the contract as it was before ours: fields 1 to 6 of the
# request, 1 and 2 of the response, two methods, an answer before it acts.
#
# Appends one JSON object a call to LOG.  Clusters called "refused" get a reply
# with an error, those called "denied" a status.  Prints a line when it
# listens; ends with its standard input.

import json
import sys
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def field(name, number, type_name, repeated=False):
    field = descriptor_pb2.FieldDescriptorProto
    return field(
        name=name,
        number=number,
        type=getattr(field, "TYPE_" + type_name),
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
        name="ClusterStatusChangeResponse",
        field=[field("error", 1, "INT32"), field("message", 2, "STRING")],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [
        factory.GetPrototype(pool.FindMessageTypeByName("agent." + name))
        for name in ("ClusterStatusChangeRequest", "ClusterStatusChangeResponse")
    ]


Request, Response = message_classes()


class Agent:
    def __init__(self, log):
        self.log = log

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
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        if request.cluster_id == "denied":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        if request.cluster_id == "refused":
            return Response(error=3, message="machine is on fire 🔥")
        return Response(message="on its way")

    def handler(self, method):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(method, request, context),
            request_deserializer=Request.FromString,
            response_serializer=Response.SerializeToString,
        )


def main():
    target, log = sys.argv[1:]
    agent = Agent(open(log, "a", encoding="utf-8"))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "agent.AgentService",
                {
                    name: agent.handler(name)
                    for name in ("PowerOnCluster", "PowerOffCluster")
                },
            )
        ]
    )
    if not server.add_insecure_port(target):
        sys.exit("cannot listen on " + target)
    server.start()
    print("listening", flush=True)
    sys.stdin.read()
    server.stop(0)


main()
