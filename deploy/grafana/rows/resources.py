"""What it costs: time, memory, disk, and how far each part has come."""

from __future__ import annotations

from deploy.grafana.looks import BYTES, COUNT, PER_SECOND, RATIO, SECONDS
from deploy.grafana.panels import About, Panel, lines
from deploy.grafana.queries import Query, of, quantiles, rate
from deploy.grafana.thresholds import threshold

JOBS = 'job=~"si-stream-.+"'


def panels() -> list[Panel]:
    return [
        *(_step_time(), _batches(), _queue()),
        *(_lag(), _awaited(), _broker_away(), _retention()),
        *(_memory(), _device_memory(), _cpu()),
        *(_checkpoint_time(), _checkpoint_size(), _descriptors()),
        *(_requests(), _in_flight(), _chosen()),
        *(_waiting(), _wait(), _turned_away()),
    ]


def _step_time() -> Panel:
    about = About(
        "Step time",
        "Testing and training one batch, all tracks; a shadow about doubles it. Grown: the machine "
        "does something else, or a new network is larger.",
        SECONDS,
    )
    return lines(about, *quantiles("si_stream_step_duration_seconds", 0.5, 0.9, 0.99))


def _batches() -> Panel:
    about = About(
        "Batches each second",
        "Trained on. Below what the step time allows: the learner waits for samples.",
        PER_SECOND,
    )
    return lines(about, Query(rate(of("si_stream_batches_total")), "batches"))


def _queue() -> Panel:
    about = About(
        "Read ahead",
        "Messages taken from the broker that wait to be learned. Always empty while there is lag: "
        "the broker or the network is the bottleneck; always full: learning is.",
        COUNT,
    )
    return lines(about, Query(of("si_stream_read_ahead_messages"), "messages"))


def _lag() -> Panel:
    about = About(
        "Lag by partition",
        "Messages behind the learner's position. One partition alone: it is waited for another.",
        COUNT,
        span=6,
    )
    query = Query(of("si_stream_lag_messages"), "partition {{partition}}")
    return lines(about, query, limit=threshold("lag_messages"))


def _awaited() -> Panel:
    about = About(
        "Partition awaited",
        "For how long the others have waited for this one: nothing is learned meanwhile. Start its "
        "sender.",
        SECONDS,
        span=6,
    )
    query = Query(of("si_stream_partition_awaited_seconds"), "partition {{partition}}")
    return lines(about, query, limit=threshold("partition_awaited_seconds"))


def _broker_away() -> Panel:
    about = About(
        "Broker away",
        "Since it was asked what it holds, every second, and has not said. The lag is the last "
        "known meanwhile. Look at the broker and the way to it: learning goes on by itself.",
        SECONDS,
        span=6,
    )
    query = Query(of("si_stream_broker_away_seconds"), "broker")
    return lines(about, query, limit=threshold("broker_away_seconds"))


def _retention() -> Panel:
    about = About(
        "Retention margin",
        "Of what the broker keeps, the share before the oldest checkpoint's position. Near 0: "
        "raise the topic's retention, or that checkpoint will be of no use. Of Kafka alone.",
        RATIO,
        span=6,
    )
    query = Query(of("si_stream_retention_margin_ratio"), "partition {{partition}}")
    return lines(about, query, high=1)


def _memory() -> Panel:
    about = About(
        "Memory",
        "Resident, of each process. The learner's grows with tasks and holdouts, which have "
        "bounds; one that grows on without a new task is a fault.",
        BYTES,
    )
    return lines(about, Query(of("process_resident_memory_bytes", JOBS), "{{job}} {{instance}}"))


def _device_memory() -> Panel:
    about = About("GPU memory", "Allocated by the learner; empty without CUDA.", BYTES)
    return lines(about, Query(of("si_stream_device_memory_bytes"), "{{device}}"))


def _cpu() -> Panel:
    about = About(
        "CPU",
        "Cores that each process keeps busy. The learner at a whole number of them: it is what "
        "limits; give it more threads only where the network is large.",
        COUNT,
    )
    busy = rate(of("process_cpu_seconds_total", JOBS))
    return lines(about, Query(busy, "{{job}} {{instance}}"))


def _checkpoint_time() -> Panel:
    about = About(
        "Writing a checkpoint",
        "The time it took beside learning, and for how long learning waited for it, which is no "
        "more than a copy in memory. The first grown: the disk.",
        SECONDS,
    )
    return lines(
        about,
        Query(of("si_stream_checkpoint_duration_seconds"), "written in"),
        Query(of("si_stream_checkpoint_stall_seconds"), "learning waited"),
    )


def _checkpoint_size() -> Panel:
    about = About(
        "Checkpoint size",
        "Of the latest. It grows with each task's head; disk is needed for keep + "
        "keep_at_boundaries + 1 of them.",
        BYTES,
    )
    return lines(about, Query(of("si_stream_checkpoint_bytes"), "checkpoint"))


def _descriptors() -> Panel:
    about = About(
        "Open files",
        "Descriptors of each process. One that grows on is a fault; near the process's limit "
        "nothing more can be written or answered.",
        COUNT,
    )
    return lines(about, Query(of("process_open_fds", JOBS), "{{job}} {{instance}}"))


def _requests() -> Panel:
    about = About(
        "Requests each second",
        "Answered by the predictor. 4xx: the asker's fault, the answer says which; 503: no "
        "snapshot yet; other 5xx: look at its log.",
        PER_SECOND,
    )
    by_status = f"sum by (route, status) ({rate(of('si_stream_http_requests_total'))})"
    return lines(about, Query(by_status, "{{status}} {{route}}"))


def _in_flight() -> Panel:
    about = About(
        "Requests in flight",
        "Being answered. It grows on: more come than are answered; start another predictor.",
        COUNT,
    )
    return lines(about, Query(of("si_stream_http_requests_in_flight"), "{{instance}}"))


def _chosen() -> Panel:
    about = About(
        "Inputs that named no task",
        "By what chose their head: their likeness to a task's samples (portrait), or the task in "
        "training (active), which is a guess.",
        PER_SECOND,
    )
    by_choice = f"sum by (choose) ({rate(of('si_stream_predictions_chosen_total'))})"
    return lines(about, Query(by_choice, "{{choose}}"))


def _waiting() -> Panel:
    about = About(
        "Requests waiting",
        "For predictions: read, waiting or being answered. At most predictor.max_waiting; near it "
        "more come than are answered, and the next is turned away.",
        COUNT,
    )
    return lines(about, Query(of("si_stream_prediction_requests_waiting"), "{{instance}}"))


def _wait() -> Panel:
    about = About(
        "Time in the queue",
        "How long a request waited for those before it, or for others of its batch. Beside the "
        "whole time of a prediction it is small, but where more come than are answered.",
        SECONDS,
    )
    return lines(about, *quantiles("si_stream_prediction_wait_seconds", 0.5, 0.99))


def _turned_away() -> Panel:
    about = About(
        "Requests turned away",
        "By reason. Overloaded (429), deadline-passed (504): start another predictor. Client-gone: "
        "its patience was shorter than the wait. Body-too-slow (408): its network.",
        PER_SECOND,
    )
    rejected = rate(of("si_stream_prediction_requests_rejected_total"))
    return lines(about, Query(f"sum by (reason) ({rejected})", "{{reason}}"))
