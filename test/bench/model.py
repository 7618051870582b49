# test/bench/model.py
#
# The model of test/bench/simulate, which see: machines, sessions, workers,
# couriers and agents, and what happens to them.  Figures are an object with
# the parameters that simulate has.
#
# Times are seconds.
#   machine    some cores; a process that wants one waits for its turn and gives
#              it up after a millisecond.  One WAL: commits that come while it
#              is flushed go together in the next flush.
#   session    CPU for a request, a commit; then the worker knows of it.
#   worker     one process, as src/workload.c: takes in all results, sends as
#              many calls as its servers have places, up to 256, then writes up
#              to 512 outcomes in one transaction and waits for the flush.  CPU
#              for each action, and for each reading and writing transaction.
#   courier    two processes, one for calls and one for results.
#   agent      one process, CPU for each call; then a latency, and for clouds
#              that allow only so many calls a second the turn of the call.
# Every action is of another cluster, and one attempt is enough.  Not in it:
# checkpoints and autovacuum, a disk that is slower the more is written, what a
# second socket or cloud machine is like, calls that ask for confirmation.

import collections
import heapq
import math
import random

SLICE = 0.001       # of CPU
CHUNK = 32          # calls that courier and agent take at a time
SEND_AT_ONCE = 256      # CALLS_AT_ONCE in src/dispatch.c
WRITE_AT_ONCE = 512     # UNITS_AT_ONCE in src/apply.c
SEND_SHARE = 0.4    # of the worker's CPU, before the call; little depends on it
NETWORK = 0.0002    # to another machine and back, where there are several


class Events:
    """What happens when; at the same time in the order it was said."""

    def __init__(self, seed):
        self.now = 0.0
        self.queue = []
        self.number = 0
        self.random = random.Random(seed)

    def at(self, when, what, *arguments):
        self.number += 1
        heapq.heappush(self.queue, (when, self.number, what, arguments))

    def after(self, delay, what, *arguments):
        self.at(self.now + delay, what, *arguments)

    def run(self, until=math.inf):
        while self.queue and self.queue[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(self.queue)
            what(*arguments)


class Machine:
    def __init__(self, events, cores, flush_time):
        self.events = events
        self.free = cores
        self.flush_time = flush_time
        self.ready = collections.deque()
        self.flushing = []
        self.committing = []
        self.used = collections.Counter()

    def compute(self, who, seconds, then, *arguments):
        self.used[who] += seconds
        self.ready.append((seconds, then, arguments))
        self.schedule()

    def schedule(self):
        while self.free > 0 and self.ready:
            seconds, then, arguments = self.ready.popleft()
            self.free -= 1
            self.events.after(min(seconds, SLICE), self.slice_ends,
                              seconds - SLICE, then, arguments)

    def slice_ends(self, left, then, arguments):
        self.free += 1
        if left > 0:
            self.ready.append((left, then, arguments))
            self.schedule()
        else:
            self.schedule()
            then(*arguments)

    def commit(self, then, *arguments):
        self.committing.append((then, arguments))
        if not self.flushing:
            self.flush()

    def flush(self):
        self.flushing, self.committing = self.committing, []
        self.events.after(self.flush_time, self.flushed)

    def flushed(self):
        done, self.flushing = self.flushing, []
        if self.committing:
            self.flush()
        for then, arguments in done:
            then(*arguments)


class Stage:
    """A process that does the same for each of what is given to it."""

    def __init__(self, machine, name, cost, then):
        self.machine = machine
        self.name = name
        self.cost = cost
        self.then = then
        self.items = collections.deque()
        self.busy = False

    def give(self, items):
        self.items.extend(items)
        if not self.busy and self.items:
            self.begin()

    def begin(self):
        self.busy = True
        taken = [self.items.popleft()
                 for _ in range(min(CHUNK, len(self.items)))]
        self.machine.compute(self.name, self.cost * len(taken),
                             self.end, taken)

    def end(self, taken):
        self.busy = False
        if self.items:
            self.begin()
        self.then(taken)


class Agent:
    """latency: seconds, or a function of the random numbers.  rate: calls a
    second that its cloud allows; None: any."""

    def __init__(self, events, machine, cost, latency=0.0, rate=None):
        self.events = events
        self.latency = latency
        self.rate = rate
        self.next_turn = 0.0
        self.stage = Stage(machine, 'agent', cost, self.think)

    def call(self, calls):
        self.stage.give(calls)

    def think(self, calls):
        if self.rate is None and not callable(self.latency):
            if self.latency > 0:
                self.events.after(self.latency, self.answer, calls)
            else:
                self.answer(calls)
            return
        for call in calls:
            begin = self.events.now
            if self.rate is not None:
                begin = max(begin, self.next_turn)
                self.next_turn = begin + 1 / self.rate
            latency = self.latency
            if callable(latency):
                latency = latency(self.events.random)
            self.events.at(begin + latency, self.answer, [call])

    @staticmethod
    def answer(calls):
        by_courier = collections.defaultdict(list)
        for call in calls:
            by_courier[call.server.courier].append(call)
        for courier, some in by_courier.items():
            courier.results.give(some)


class Courier:
    def __init__(self, machine, cost, worker):
        self.calls = Stage(machine, 'courier', cost / 2, self.send)
        self.results = Stage(machine, 'courier', cost / 2, worker.receive)

    @staticmethod
    def send(calls):
        by_server = collections.defaultdict(list)
        for call in calls:
            by_server[call.server].append(call)
        for server, some in by_server.items():
            server.agent.call(some)


class Server:
    """A foreign server of one database."""

    def __init__(self, agent, places):
        self.agent = agent
        self.places = places
        self.due = collections.deque()
        self.courier = None


class Action:
    __slots__ = ('server', 'due', 'sent', 'done')

    def __init__(self, server, due):
        self.server = server
        self.due = due
        self.sent = self.done = None


class Worker:
    def __init__(self, events, machine, figures, servers):
        self.events = events
        self.machine = machine
        self.figures = figures
        self.servers = servers
        self.courier = Courier(machine, figures.courier, self)
        for server in servers:
            server.courier = self.courier
        self.received = []
        self.unwritten = collections.deque()
        self.done = []
        self.busy = False
        self.stopped = False
        self.requested = []

    def request(self, actions):
        self.requested.extend(actions)
        for action in actions:
            action.server.due.append(action)
        self.wake()

    def receive(self, calls):
        self.received.extend(calls)
        self.wake()

    def wake(self):
        if not self.busy and not self.stopped:
            self.busy = True
            self.cycle()

    def cycle(self):
        for action in self.received:
            action.server.places += 1
        self.unwritten.extend(self.received)
        self.received = []
        calls = []
        for server in self.servers:
            while (server.places > 0 and server.due and
                   len(calls) < SEND_AT_ONCE):
                server.places -= 1
                calls.append(server.due.popleft())
        if calls:
            self.machine.compute(
                'worker', self.figures.read +
                len(calls) * self.figures.worker * SEND_SHARE,
                self.send, calls)
        else:
            self.write()

    def send(self, calls):
        for action in calls:
            action.sent = self.events.now
        self.courier.calls.give(calls)
        self.write()

    def write(self):
        if not self.unwritten:
            self.rest()
            return
        batch = [self.unwritten.popleft()
                 for _ in range(min(WRITE_AT_ONCE, len(self.unwritten)))]
        self.machine.compute(
            'worker', self.figures.write +
            len(batch) * self.figures.worker * (1 - SEND_SHARE),
            self.machine.commit, self.written, batch)

    def written(self, batch):
        if self.stopped:
            return
        for action in batch:
            action.done = self.events.now
        self.done.extend(batch)
        self.rest()

    def rest(self):
        self.busy = False
        if self.received or self.unwritten or any(
                server.places > 0 and server.due for server in self.servers):
            self.wake()


def lognormal(median, p99):
    """Latencies with these, in seconds."""
    sigma = math.log(p99 / median) / 2.3263
    return lambda numbers: numbers.lognormvariate(math.log(median), sigma)


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, math.ceil(part * len(values)) - 1)]


class World:
    """One server with its databases.  Agents run on its cores if "together",
    as in make bench, else each on one of its own."""

    def __init__(self, figures, cores, seed=1, events=None, together=False):
        self.figures = figures
        self.events = events or Events(seed)
        self.machine = Machine(self.events, cores, figures.flush)
        self.together = together
        self.workers = []

    def agent(self, latency=0.0, rate=None):
        machine = self.machine
        if not self.together:
            machine = Machine(self.events, 1, 0.0)
            if callable(latency):
                inner = latency
                latency = lambda numbers: inner(numbers) + NETWORK
            else:
                latency += NETWORK
        return Agent(self.events, machine, self.figures.agent, latency, rate)

    def worker(self, agents, places=256):
        servers = [Server(agent, places) for agent in agents]
        worker = Worker(self.events, self.machine, self.figures, servers)
        self.workers.append(worker)
        return worker

    def queue(self, worker, number):
        """As after one statement, to the servers of the worker in turn."""
        servers = worker.servers
        worker.request([Action(servers[n % len(servers)], self.events.now)
                        for n in range(number)])

    def done(self):
        return [action for worker in self.workers for action in worker.done]


def rate_of(actions):
    return len(actions) / max(action.done for action in actions)


def drained(figures, number, places=256, latency=0.0, cores=2):
    """A round of make bench."""
    world = World(figures, cores, together=True)
    worker = world.worker([world.agent(latency)], places)
    world.queue(worker, number)
    world.events.run()
    return world.done()


def live(figures, places, seconds=2.0, sessions=4, cores=2):
    """Requests a second of sessions that make one after the other; places
    None: nobody takes them."""
    world = World(figures, cores, together=True)
    events, machine = world.events, world.machine
    worker = world.worker([world.agent()], places or 1)
    worker.stopped = places is None
    requested = [0]

    def begin():
        if events.now < seconds:
            machine.compute('session', figures.session, machine.commit, end)

    def end():
        requested[0] += 1
        worker.request([Action(worker.servers[0], events.now)])
        begin()

    for _ in range(sessions):
        begin()
    events.run()
    return requested[0] / seconds


def arrivals(world, current, rate, seconds, closed=None):
    """Requests at random, each by a session of its own, to the worker that is
    then current[0].  While "closed" (from, until) the server is away: they
    come together when it is back."""
    events, machine, figures = world.events, world.machine, world.figures

    def request():
        wanted = events.now
        delay = 0.0
        if closed and closed[0] <= wanted < closed[1]:
            delay = closed[1] - wanted
        events.after(delay, machine.compute, 'session', figures.session,
                     machine.commit, committed, wanted)
        following = wanted + events.random.expovariate(rate)
        if following < seconds:
            events.at(following, request)

    def committed(wanted):
        worker = current[0]
        worker.request([Action(events.random.choice(worker.servers), wanted)])

    events.after(events.random.expovariate(rate), request)


def fail_over(world, current, agents, places, begin, end):
    """The worker current[0] ends at "begin"; at "end" another one takes its
    place and makes the calls again that were under way."""
    def crash():
        current[0].stopped = True

    def promote():
        old = current[0]
        current[0] = world.worker(agents, places)
        servers = dict(zip(old.servers, current[0].servers))
        # new ones, since answers to old calls still come
        current[0].request([Action(servers[action.server], action.due)
                            for action in old.requested
                            if action.done is None])

    world.events.at(begin, crash)
    world.events.at(end, promote)


def morning(figures, clusters, cores, seed, latency, agents=1, places=256,
            rate=None):
    world = World(figures, cores, seed)
    worker = world.worker([world.agent(latency, rate) for _ in range(agents)],
                          places)
    world.machine.compute('session', clusters * figures.array,
                          world.machine.commit, world.queue, worker, clusters)
    world.events.run()
    return quantile([action.done for action in world.done()], 0.99)
