"""Is it healthy? Ten seconds at night: a line of tiles, each of which says in a word and a colour
whether its part is well; below them, since when.
"""

from __future__ import annotations

from deploy.grafana.looks import BAD, GOOD, NEUTRAL, PER_SECOND, RATIO, SECONDS, WATCH
from deploy.grafana.panels import About, Panel, bars, lines, states, tile
from deploy.grafana.queries import (
    LEARNER,
    MAIN,
    PREDICTOR,
    Query,
    at_each_step,
    of,
    quantiles,
    rate,
    within,
)
from deploy.grafana.thresholds import threshold

UP_OR_DOWN = {"1": ("UP", GOOD), "0": ("DOWN", BAD)}
FAULTS = {
    "dead letters": of("si_stream_rejected_total"),
    "skipped batches": of("si_stream_skipped_batches_total"),
    "quarantined batches": of("si_stream_quarantined_batches_total"),
    "failed writes": of("si_stream_writing_failures_total"),
    "damaged checkpoints": of("si_stream_checkpoints_refused_total"),
    "refused snapshots": of("si_stream_served_snapshot_load_failures_total"),
    "failed requests": of("si_stream_http_requests_total", 'status=~"5.."'),
}


def tiles() -> list[Panel]:
    """All of one line."""
    return [
        _up(
            "Learner", LEARNER, "It is started again from the newest checkpoint; its log says why."
        ),
        _up("Predictor", PREDICTOR, "Of several the worst. Its log says why."),
        _alerts(),
        _forgetting(),
        _learning(),
        _lag(),
        _checkpoint_age(),
        _faults(),
    ]


def panels() -> list[Panel]:
    return [_alert_history(), _samples(), _ages(), _fault_history(), _predictions(), _latency()]


def _tile(title: str, description: str, unit: str = "short") -> About:
    return About(title, description, unit, span=3, height=4)


def _up(title: str, job: str, advice: str) -> Panel:
    about = _tile(
        title,
        f"Whether it answers Prometheus. {advice} NOT WATCHED: Prometheus has no target with this "
        f"model and {job}.",
    )
    query = Query(f"min({of('up', job)})")
    return tile(about, query, words=UP_OR_DOWN, no_value="NOT WATCHED", steps=[(None, BAD)])


def _alerts() -> Panel:
    about = _tile(
        "Alerts firing",
        "Of this model. Their names stand below, what to do about each in the last row.",
    )
    firing = of("ALERTS", 'alertstate="firing"')
    return tile(
        about,
        Query(f"count({firing}) or vector(0)"),
        words={"0": ("none", GOOD)},
        steps=[(None, GOOD), (1, BAD)],
    )


def _forgetting() -> Panel:
    limit, errors = threshold("forgetting_ratio"), threshold("forgetting_standard_errors")
    about = _tile(
        "Worst forgetting",
        "What the task that is forgotten most has lost of its best holdout accuracy, less "
        f"{errors:g} standard errors, which chance explains. From {limit:.0%} on it fires an "
        "alert. Which task: the row below; why: the row after.",
        RATIO,
    )
    forgetting = of("si_stream_forgetting_ratio", MAIN)
    error = of("si_stream_forgetting_standard_error_ratio", MAIN)
    query = Query(f"clamp_min(max({forgetting} - {errors:g} * {error}), 0)")
    steps = [(None, GOOD), (limit / 2, WATCH), (limit, BAD)]
    words = {"0": ("none", GOOD)}
    return tile(about, query, steps=steps, words=words, no_value="one task").decimals(1)


def _learning() -> Panel:
    about = _tile(
        "Learning",
        "Samples trained on each second. IDLE: none, and none wait. STUCK: none though messages "
        "wait: look at lag by partition and the learner's log.",
        PER_SECOND,
    )
    trained = f"sum({rate(of('si_stream_trained_samples_total'))})"
    waiting = f"sum({of('si_stream_lag_messages')}) > bool {threshold('lag_messages'):g}"
    return tile(
        about,
        Query(f"{trained} > 0 or 0 - ({waiting})"),
        words={"0": ("IDLE", NEUTRAL), "-1": ("STUCK", BAD)},
    )


def _lag() -> Panel:
    limit = threshold("lag_messages")
    about = _tile(
        "Lag",
        f"Messages in the stream that are not learned yet. It is one to watch from {limit:g} on, "
        f"where it fires an alert if it goes on growing: compare samples received with trained.",
    )
    words = {"0": ("none", GOOD)}
    query = Query(f"sum({of('si_stream_lag_messages')})")
    return tile(about, query, steps=[(None, GOOD), (limit, WATCH)], words=words)


def _checkpoint_age() -> Panel:
    limit = threshold("checkpoint_age_seconds")
    about = _tile(
        "Checkpoint age",
        f"Since a checkpoint held all that was learned: what a crash would have learned again. "
        f"Above {limit:g} s look at the disk, and whether batches are trained on. With detection, "
        f"and on a slow stream, hours are no fault.",
        SECONDS,
    )
    steps = [(None, GOOD), (limit / 2, WATCH), (limit, BAD)]
    return tile(about, Query(f"max({of('si_stream_checkpoint_age_seconds')})"), steps=steps)


def _faults() -> Panel:
    about = _tile(
        "Faults in 15 min",
        "Dead letters, batches skipped or quarantined, failed writes, damaged checkpoints, refused "
        "snapshots, requests answered with 5xx. Which they are stands below.",
    )
    grown = [f"(sum({within(series, '15m')}) or vector(0))" for series in FAULTS.values()]
    return tile(
        about,
        Query(" + ".join(grown)),
        words={"0": ("none", GOOD)},
        steps=[(None, GOOD), (0.5, WATCH), (threshold("rejected"), BAD)],
    ).decimals(0)


def _alert_history() -> Panel:
    about = About(
        "Alerts",
        "Which alerts fired when, and which were pending: their condition holds, though not for "
        "long enough yet. What to do about each stands in the last row.",
    )
    firing, pending = (of("ALERTS", f'alertstate="{state}"') for state in ("firing", "pending"))
    shown = f"max by (alertname) ({firing}) * 2 or max by (alertname) ({pending})"
    query = Query(shown, "{{alertname}}")
    words = {"2": ("firing", BAD), "1": ("pending", WATCH)}
    return states(about, query, words, no_value="none in this time")


def _samples() -> Panel:
    about = About(
        "Samples each second",
        "Taken from the stream, by role, and trained on. Received without trained: rejected, or a "
        "batch is not full yet. Neither: the sender is silent, or the broker away.",
        PER_SECOND,
    )
    return lines(
        about,
        Query(f"sum({rate(of('si_stream_trained_samples_total'))})", "trained on"),
        Query(
            f"sum by (role) ({rate(of('si_stream_received_samples_total'))})", "received: {{role}}"
        ),
    )


def _ages() -> Panel:
    about = About(
        "How old",
        "Since all that was learned was in a checkpoint, and in a snapshot; since the snapshot "
        "that answers was written; since the latest message taken in was appended. A saw is "
        "well. All four growing: the stream is idle. One alone: that part has stopped.",
        SECONDS,
    )
    return lines(
        about,
        Query(f"max({of('si_stream_checkpoint_age_seconds')})", "checkpoint"),
        Query(f"max({of('si_stream_snapshot_age_seconds')})", "snapshot"),
        Query(f"max({of('si_stream_served_snapshot_age_seconds')})", "served snapshot"),
        Query(f"max({of('si_stream_position_age_seconds')})", "latest message"),
    )


def _fault_history() -> Panel:
    about = About(
        "Faults",
        "What went wrong when. Dead letters: si-stream dead-letters list names the reasons. "
        "Skipped: the loss or a gradient was not finite. Failed writes: the disk. Refused "
        "snapshots: the predictor could not read what the learner wrote.",
    )
    queries = [Query(at_each_step(series), name) for name, series in FAULTS.items()]
    return bars(about, *queries)


def _predictions() -> Panel:
    about = About(
        "Predictions each second",
        "Inputs answered, by task. None while the predictor is up: nobody asks, or requests are "
        "refused; see requests by status, under resources.",
        PER_SECOND,
    )
    return lines(
        about, Query(f"sum by (task) ({rate(of('si_stream_predictions_total'))})", "{{task}}")
    )


def _latency() -> Panel:
    about = About(
        "Prediction latency",
        "From a request's whole body to its answer. If it grows with the number of predictions, "
        "start another predictor; if by itself, look at what else the machine does.",
        SECONDS,
    )
    return lines(about, *quantiles("si_stream_prediction_duration_seconds", 0.5, 0.9, 0.99))
