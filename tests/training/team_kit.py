"""A team whose members are threads of one process."""

import threading

import torch

from ostinato.training.team import Flat, sum_halves

TURN = threading.Lock()
"""Torch's global random generator is one for all threads: a forward pass, or a new model, has it for itself."""


class Meeting:
    """Where the threads of one team lay things down for each other."""

    def __init__(self, size):
        self.size, self.laid, self.barrier = size, {}, threading.Barrier(size, timeout=60)


class Thread:
    """A member."""

    compression = "none"

    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.size, self.sent, self.flat = meeting, rank, meeting.size, [], Flat()

    def exchange(self, value):
        self.meeting.laid[self.rank] = value
        self.meeting.barrier.wait()
        found = [self.meeting.laid[rank] for rank in range(self.size)]
        self.meeting.barrier.wait()
        return found

    def reduce(self, parameters, loss, touched):
        flat = self.flat.pack(parameters, loss, touched).clone()
        self.sent.append(len(flat))
        if self.compression == "fp16":
            self.sum_halves(flat)
            return self.flat.unpack(parameters, flat, touched)
        return self.flat.unpack(parameters, sum(self.exchange(flat)), touched)

    def sum_halves(self, flat):
        def add(tensor):
            tensor.copy_(sum(self.exchange(tensor.clone())))

        def highest(tensor):
            tensor.copy_(torch.stack(self.exchange(tensor.clone())).max(dim=0).values)

        sum_halves(flat, self.size, add, highest)

    def agree(self, seconds, interrupted):
        every = self.exchange((seconds, interrupted))
        return every[0][0], any(stop for _, stop in every)

    def share(self, value):
        return self.exchange(value)[0]

    def sums(self, values):
        return [sum(column) for column in zip(*self.exchange(list(values)), strict=True)]

    def copy(self, tensors):
        given = self.exchange([t.clone() for t in tensors])[0]
        for tensor, value in zip(tensors, given, strict=True):
            tensor.copy_(value)

    def mean(self, tensors):
        every = self.exchange([t.clone() for t in tensors])
        return [(sum(parts) / self.size).to(parts[0].dtype) for parts in zip(*every, strict=True)]

    def gather(self, state):
        return tuple(torch.cat(parts, dim=1) for parts in zip(*self.exchange(state), strict=True))


def team_of(size):
    """The members of a new team."""
    meeting = Meeting(size)
    return [Thread(meeting, rank) for rank in range(size)]


def take_turns(trainer):
    """Its forward passes are made one after the other."""
    forward = trainer._forward

    def alone(*arguments):
        with TURN:
            return forward(*arguments)

    trainer._forward = alone
    return trainer


def run_all(calls):
    """Each call in a thread of its own. Raises what the first of them raised; returns their results."""
    errors, results = [], [None] * len(calls)

    def run(number, call):
        try:
            results[number] = call()
        except BaseException as error:
            errors.append(error)
            raise SystemExit from None

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def members(size, make):
    """Trainers of one team, made by `make(team)` in their threads, as making one takes the others."""
    return run_all([lambda team=team: take_turns(make(team)) for team in team_of(size)])


def train_all(trainers):
    """All of them; whoever fails breaks the barrier for the others."""

    def train(one):
        try:
            one.train()
        except BaseException:
            one.team.meeting.barrier.abort()
            raise

    run_all([lambda one=one: train(one) for one in trainers])
    return trainers


def whole_state(trainers):
    """The states of all members side by side."""
    parts = [t.state if isinstance(t.state, tuple) else (t.state,) for t in trainers]
    return [torch.cat(columns, dim=1) for columns in zip(*parts, strict=True)]
