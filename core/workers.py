"""Worker processes that use one thread each, end with the main process and leave quietly; or Ray's."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import multiprocessing.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from toyshift.core import garbage, interrupts
from toyshift.core.errors import ConfigError, MissingDependencyError, ToyShiftError

# one thread for linear algebra; software rendering (llvmpipe) in the thread that asks for it
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
# Workers are forked from a process that has imported those of these that this one has: most of what a start costs.
# Only libraries that open nothing when they are imported: MuJoCo opens the display of the GL that MUJOCO_GL names. It
# imports GLFW, which asks a child of its own, and that would complain of a worker that is killed meanwhile.
_START = "forkserver" if sys.platform == "linux" else "spawn"
_SLOW_TO_IMPORT = ("numpy", "scipy.spatial", "trimesh", "torch", "glfw")


def core_count() -> int:
    """Number of cores that this process may use; schedulers of clusters give fewer than a machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave() -> None:
    """Ends this worker without teardown; an error that ends it is told here, as multiprocessing would after this."""
    error = sys.exc_info()[1]
    if error is not None:
        traceback.print_exception(error)
        sys.stderr.flush()
    os._exit(error is not None)


def _begin(environment: dict[str, str]) -> None:
    """Has this worker end quietly, and with the main process however that ends: else it would wait for work for ever.

    The environment is given since the process that forks workers began with that of an earlier time.
    Leaving without Python's teardown spares the terminal the complaints of native libraries (manifold3d, GL drivers)
    about objects that are alive at that moment; a worker has nothing to save.
    """
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.util.Finalize(None, _leave, exitpriority=-1000)
    interrupts.end_with_parent()
    garbage.look_seldom()


def _kill_workers() -> None:
    for child in multiprocessing.active_children():
        child.kill()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Lets worker processes started inside use one thread for linear algebra and software rendering.

    What multiprocessing's process for locks says of those that a killed process leaves is of no use to anyone: it
    removes them.
    """
    silent = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker")))
    values = {**_THREADS, "PYTHONWARNINGS": silent}
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)


@dataclasses.dataclass(frozen=True)
class Pool:
    """Processes that work elsewhere.

    Attributes:
        submit: begins a function of a module with its arguments.
        workers: how many pieces of work run at once.
        died: what a future raises when a worker is lost for good.
        elsewhere: they may be other machines', which hold files of their own.
    """

    submit: Callable[..., Future[Any]]
    workers: int
    died: tuple[type[Exception], ...]
    elsewhere: bool = False


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[Pool]:
    """Yields a pool of `workers` processes, which several calls may share so that libraries are imported once.

    Each process uses one thread, ends with this one however it ends, and imports the main script: guard it with
    `if __name__ == "__main__"`. Work that has not begun when the block ends is cancelled; after Ctrl-C, which workers
    are not told, they are killed.
    """
    context = multiprocessing.get_context(_START)
    context.set_forkserver_preload([name for name in _SLOW_TO_IMPORT if name in sys.modules])
    with _one_thread_each(), interrupts.first(_kill_workers):
        executor = ProcessPoolExecutor(workers, context, _begin, (dict(os.environ),))

        def submit(*work: Any) -> Future[Any]:
            with interrupts.kept_from_children():  # it may start one
                return executor.submit(*work)

        try:
            yield Pool(submit, workers, (BrokenProcessPool,))
        except KeyboardInterrupt:
            _kill_workers()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


# ---------------------------------------------------------------- the same work for many items

Session = TypeVar("Session")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Job(Generic[Session, Item, Result]):
    """What is done for every item, with something that takes long to open (an environment, say) and is kept.

    Attributes:
        key: hash of everything that decides what is opened; a process keeps what it opened for the latest key.
        open: a context manager of a module, such as `functools.partial(opened, config)`; what it yields goes to `work`.
        work: a function of a module: (what was opened, item) -> result.
        name: what is done, for the error of a worker that died, e.g. "collecting toys:train".
    """

    key: str
    open: Callable[[], contextlib.AbstractContextManager[Session]]
    work: Callable[[Session, Item], Result]
    name: str


_kept: dict[str, tuple[contextlib.ExitStack, Any]] = {}  # of this process: key of a job -> what it has opened


def _leave_session() -> None:
    while _kept:
        _kept.popitem()[1][0].close()


def _do(job: Job[Session, Item, Result], item: Item) -> Result:
    if job.key not in _kept:
        _leave_session()
        stack = contextlib.ExitStack()
        _kept[job.key] = stack, stack.enter_context(job.open())
    return job.work(_kept[job.key][1], item)


@dataclasses.dataclass(frozen=True)
class _Failed:
    """A ToyShiftError on its way out of a worker: those that take more than a message cannot be sent themselves."""

    kind: type[ToyShiftError]
    message: str

    def error(self) -> ToyShiftError:
        error = self.kind.__new__(self.kind)
        error.args = (self.message,)
        return error


def _do_elsewhere(job: Job[Session, Item, Result], item: Item) -> Result | _Failed:
    try:
        return _do(job, item)
    except ToyShiftError as error:
        return _Failed(type(error), str(error))


def begin(pool: Pool, job: Job[Session, Item, Result], item: Item) -> Future[Any]:
    """Begins a job for an item, in a pool; `outcome` takes the future."""
    return pool.submit(_do_elsewhere, job, item)


def outcome(pool: Pool, job: Job[Session, Item, Result], future: Future[Any]) -> Result:
    """Waits for what `begin` began, and returns its result.

    Raises:
        ToyShiftError: raised by the job, or its worker died.
    """
    try:
        result = future.result()
    except pool.died as error:
        raise _death(job) from error
    if isinstance(result, _Failed):
        raise result.error()
    found: Result = result
    return found


def _death(job: Job[Session, Item, Result]) -> ToyShiftError:
    return ToyShiftError(
        f"a worker process died while {job.name} (out of memory?); what is finished is kept: "
        f"run the same command again, with --workers 1 if it repeats"
    )


def play(
    items: Iterable[Item], job: Job[Session, Item, Result], workers: int = 0, pool: Pool | None = None
) -> Iterator[Result]:
    """Does a job for every item, and yields the results as they are finished: in order without workers, else in any.

    Items are taken when there is room for them, two for each worker, so that they may be endless; work that has begun
    is finished, and the rest left, when the caller stops asking.

    Args:
        items: sent to the workers.
        job: what is done.
        workers: processes; 0 works in this one. Not used with `pool`.
        pool: processes of `worker_pool` or `ray_pool`, shared by several calls.

    Raises:
        ToyShiftError: raised by the job, or a worker died.
    """
    if pool is None and workers <= 0:
        try:
            for item in items:
                yield _do(job, item)
        finally:
            _leave_session()
        return
    with contextlib.nullcontext(pool) if pool is not None else worker_pool(workers) as processes:
        waiting: set[Future[Any]] = set()
        coming = iter(items)
        try:
            while True:
                room = 2 * processes.workers - len(waiting)
                waiting |= {begin(processes, job, item) for item in itertools.islice(coming, room)}
                if not waiting:
                    return
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield outcome(processes, job, future)
        except processes.died as error:  # of submitting
            raise _death(job) from error
        finally:
            for future in waiting:
                future.cancel()


# ---------------------------------------------------------------- Ray


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def ray_package() -> Any:
    """Returns Ray, or raises MissingDependencyError."""
    try:
        import ray
    except ImportError as error:
        told = f'work on a Ray cluster needs Ray ({error}); run: pip install "toyshift[ray]"'
        raise MissingDependencyError(told) from error
    return ray


@contextlib.contextmanager
def ray_pool(address: str, workers: int) -> Iterator[Pool]:
    """Yields the workers of a Ray cluster, whose nodes must all have ToyShift; leaves it when the block ends.

    Args:
        address: "local" starts a cluster of `workers` workers on this machine; otherwise where one runs, e.g. "auto"
            or "ray://HOST:10001".
        workers: most pieces of work at once; 0 takes as many as the cluster has cores.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConfigError: there is no cluster at this address.
    """
    ray = ray_package()
    local = {"num_cpus": workers or core_count(), "include_dashboard": False} if address == "local" else {}
    with _one_thread_each():
        try:
            quiet = {"log_to_driver": False, "logging_level": "ERROR"}
            ray.init(address=address, runtime_env={"env_vars": _THREADS}, **quiet, **local)
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            remedy = "start one with `ray start --head`, or write 'local'"
            raise ConfigError(f"no Ray cluster at {address!r} ({error}); {remedy}") from error
        try:
            # A worker that dies is replaced and its work done again, three times; it is kept between pieces of work.
            remote = ray.remote(num_cpus=1, max_retries=3)(_call)
            cores = int(ray.cluster_resources().get("CPU", 1))
            most = min(workers or cores, cores)
            # what the work itself raised is a RayError too, but none of these
            lost = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "LocalRayletDiedError")
            died = tuple(getattr(ray.exceptions, name) for name in lost)
            yield Pool(lambda function, *args: remote.remote(function, *args).future(), most, died, elsewhere=True)
        finally:
            ray.shutdown()


def pool_at(ray: str, workers: int) -> contextlib.AbstractContextManager[Pool | None]:
    """Returns the workers of the Ray cluster at an address, see `ray_pool`; without one those of `worker_pool`.

    None for 0 workers without a cluster: work is then done in this process.
    """
    if ray:
        return ray_pool(ray, workers)
    return worker_pool(workers) if workers > 0 else contextlib.nullcontext()
