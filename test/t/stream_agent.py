# test/t/stream_agent.py [OPTION]... TARGET LOG
#
# The agent of foreign_agent.py, which accepts whatever it is told, with a
# stream for many calls (PowerStream of proto/agent.proto) besides; and what
# may go wrong with such a stream, when somebody else has written it.
#
#   --fault FAULT      what each of its streams does:
#       denied         ends with PERMISSION_DENIED when it has answered some
#       leaves         ends with OK then, although more calls are there
#       garbage        sends bytes that are no message then, and nothing more
#       unready        ends with UNAVAILABLE before it says that it is ready
#       silent         never says that it is ready
#       declines       answers that it has not started, whatever comes
#       strange-ids    answers calls that nobody has made, too
#       twice          answers again, another thing
#       odd-status     answers the first attempts with a status there is not
#       forgets        does not answer the first attempts
#   --token-file FILE  wants one of its tokens
#   --hold FILE        calls for clusters called "held..." wait until it exists
#
# Appends to LOG one JSON object a call, with "stream": true for those that
# came by one, and one with "event": "stream" for each stream that begins.

import argparse
import os
import queue
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from foreign_agent import Agent, Request, field

SOME = 50  # answers of a stream before something happens
ENDS = ("denied", "leaves", "garbage", "mute")
METHODS = {1: "PowerOnCluster", 2: "PowerOffCluster", 3: "GetClusterPowerState"}


def message_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="stream.proto", package="stream", syntax="proto3"
    )
    file.message_type.add(
        name="StreamCall",
        field=[
            field("call_id", 1, "UINT64"),
            field("method", 2, "INT32"),
            field("timeout_ms", 3, "UINT32"),
            field("attempt", 4, "UINT32"),
            field("request", 5, "BYTES"),
        ],
    )
    file.message_type.add(
        name="StreamRequest",
        field=[
            field("calls", 1, "MESSAGE", True, ".stream.StreamCall"),
            field("cancelled", 2, "UINT64", True),
            field("max_message_size", 3, "UINT32"),
        ],
    )
    file.message_type.add(
        name="StreamAnswer",
        field=[
            field("call_id", 1, "UINT64"),
            field("status_code", 2, "UINT32"),
            field("status_message", 3, "STRING"),
            field("response", 4, "BYTES"),
            field("not_started", 5, "BOOL"),
        ],
    )
    file.message_type.add(
        name="StreamResponse",
        field=[
            field("answers", 1, "MESSAGE", True, ".stream.StreamAnswer"),
            field("max_message_size", 2, "UINT32"),
        ],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [
        factory.GetPrototype(pool.FindMessageTypeByName("stream." + name))
        for name in ("StreamRequest", "StreamResponse", "StreamAnswer")
    ]


StreamRequest, StreamResponse, StreamAnswer = message_classes()


class Stream:
    def __init__(self, agent, requests, context):
        self.agent = agent
        self.fault = agent.options.fault
        self.context = context
        self.token = dict(context.invocation_metadata()).get("authorization")
        self.answered = 0
        self.held = []
        # messages, and at the end what ends it: a status and its text
        self.output = queue.Queue()
        context.add_callback(lambda: self.end())
        self.start(self.take, requests)
        self.start(self.release)

    def start(self, function, *arguments):
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def end(self, code=grpc.StatusCode.OK, text=""):
        self.output.put((code, text))

    def send(self, *answers):
        self.output.put(StreamResponse(answers=answers).SerializeToString())

    def responses(self):
        if self.fault == "unready":
            self.context.abort(grpc.StatusCode.UNAVAILABLE, "not today")
        if self.fault != "silent":
            yield StreamResponse(max_message_size=4000000).SerializeToString()
        while True:
            message = self.output.get()
            if isinstance(message, bytes):
                yield message
            elif message[0] == grpc.StatusCode.OK:
                return
            else:
                self.context.abort(*message)

    def take(self, requests):
        try:
            for request in requests:
                for call in request.calls:
                    self.answer(call)
            while self.held and self.context.is_active():
                time.sleep(0.01)
        except grpc.RpcError:
            pass  # cancelled
        self.end()

    def release(self):
        while self.context.is_active():
            if self.agent.options.hold and os.path.exists(self.agent.options.hold):
                held, self.held = self.held, []
                for call in held:
                    self.send(self.accepted(call))
            time.sleep(0.01)

    def accepted(self, call):
        reply = self.agent.reply(
            METHODS[call.method], Request.FromString(call.request)
        )
        return StreamAnswer(call_id=call.call_id, response=reply.SerializeToString())

    def answer(self, call):
        cluster = Request.FromString(call.request).cluster_id
        if self.answered >= SOME and self.fault in ENDS:
            # this one has no answer
            self.fault_happens()
            return
        self.answered += 1
        self.agent.write(
            {
                "method": METHODS[call.method],
                "cluster_id": cluster,
                "attempt": call.attempt,
                "timeout_ms": call.timeout_ms,
                "stream": True,
                "authorization": self.token,
            }
        )
        if self.fault == "forgets" and call.attempt == 1:
            pass
        elif cluster.startswith("held"):
            self.held.append(call)
        elif self.fault == "declines":
            self.send(
                StreamAnswer(
                    call_id=call.call_id,
                    status_code=14,
                    status_message="some other time",
                    not_started=True,
                )
            )
        elif self.fault == "odd-status" and call.attempt == 1:
            self.send(
                StreamAnswer(
                    call_id=call.call_id,
                    status_code=99,
                    status_message="no such status",
                )
            )
        elif self.fault == "strange-ids":
            strangers = [0, call.call_id + 1000000, 2**64 - 1]
            self.send(
                *[StreamAnswer(call_id=id, status_code=7) for id in strangers],
                self.accepted(call)
            )
        elif self.fault == "twice":
            again = StreamAnswer(call_id=call.call_id, status_code=7)
            self.send(self.accepted(call), again)
            self.send(again)
        else:
            self.send(self.accepted(call))

    def fault_happens(self):
        if self.fault == "denied":
            self.end(grpc.StatusCode.PERMISSION_DENIED, "enough of you")
        elif self.fault == "leaves":
            self.end()
        elif self.fault == "garbage":
            self.output.put(b"\xff\xfe this is no message \xff")
        self.fault = "mute"


class StreamingAgent(Agent):
    def answer(self, method, request, context):
        # long enough for others to be under way
        time.sleep(0.01)
        return super().answer(method, request, context)

    def stream(self, requests, context):
        self.write({"event": "stream"})
        self.check_token(dict(context.invocation_metadata()), context)
        yield from Stream(self, requests, context).responses()


def main():
    parser = argparse.ArgumentParser()
    for option in ("fault", "token-file", "hold"):
        parser.add_argument("--" + option)
    parser.add_argument("target")
    parser.add_argument("log")
    options = parser.parse_args()
    options.states = False

    agent = StreamingAgent(options)
    handlers = {
        name: agent.handler(name) for name in ("PowerOnCluster", "PowerOffCluster")
    }
    handlers["PowerStream"] = grpc.stream_stream_rpc_method_handler(
        agent.stream, request_deserializer=StreamRequest.FromString
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=80),
        options=[("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("agent.AgentService", handlers)]
    )
    port = server.add_insecure_port(options.target)
    if not port:
        sys.exit("cannot listen on " + options.target)
    server.start()
    print("listening", port, flush=True)
    sys.stdin.read()
    server.stop(0)


main()
