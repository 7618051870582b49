# test/t/agent_calls.py TARGET
#
# Calls an agent over gRPC, for tests.  Reads calls from standard input, one
# JSON object a line:
#
#   id, method, account, region, cluster, instances
#   request_id   (the id)
#   source, order   the latter as three numbers
#   timeout      s (30)
#
# or {"cancel": id}, and writes an object for each when it is over: id, status, details and, if
# the status is OK, error, message and states {instance: [state, message]}.

import json
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

STATES = ["UNKNOWN", "RUNNING", "STOPPED", "STARTING", "STOPPING", "TERMINATED"]


def field(name, number, type_name, repeated=False, of=None):
    kind = descriptor_pb2.FieldDescriptorProto
    return kind(
        name=name,
        number=number,
        type=getattr(kind, "TYPE_" + type_name),
        type_name=of,
        label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL,
    )


def message_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="agent.proto", package="agent", syntax="proto3"
    )
    file.message_type.add(
        name="Request",
        field=[
            field("account_name", 1, "STRING"),
            field("region", 2, "STRING"),
            field("cluster_id", 3, "STRING"),
            field("instances_id_list", 4, "STRING", repeated=True),
            field("request_id", 101, "STRING"),
            field("order", 102, "MESSAGE", of=".agent.Order"),
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
        name="InstanceState",
        field=[
            field("instance_id", 1, "STRING"),
            field("state", 2, "INT32"),
            field("message", 3, "STRING"),
        ],
    )
    file.message_type.add(
        name="Response",
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
        for name in ("Request", "Response")
    ]


Request, Response = message_classes()
lock = threading.Lock()


def tell(call, future):
    result = {"id": call["id"], "status": future.code().name, "details": future.details()}
    if future.code() == grpc.StatusCode.OK:
        response = future.result()
        result["error"] = response.error
        result["message"] = response.message
        result["states"] = {
            s.instance_id: [STATES[s.state], s.message] for s in response.instance_states
        }
    with lock:
        print(json.dumps(result), flush=True)


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    futures = {}
    for line in sys.stdin:
        call = json.loads(line)
        if "cancel" in call:
            futures.pop(call["cancel"]).cancel()
            continue
        method = channel.unary_unary(
            "/agent.AgentService/" + call["method"],
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        request = Request(
            account_name=call["account"],
            region=call.get("region", ""),
            cluster_id=call["cluster"],
            instances_id_list=call["instances"],
            request_id=call.get("request_id", str(call["id"])),
            source=call.get("source", ""),
        )
        for name, number in zip(("timeline", "epoch", "counter"), call.get("order", [])):
            setattr(request.order, name, number)
        futures[call["id"]] = future = method.future(request, timeout=call.get("timeout", 30), wait_for_ready=True)
        future.add_done_callback(lambda future, call=call: tell(call, future))


main()
