// Is it healthy? How the learner is, how far it is behind, and what is saved.

import { find, make, set } from "./elements.js";
import { clock, count, duration, many, rate } from "./wording.js";

const WAITING = 100; // messages; fewer may wait for the rest of their batch, as the alerts have it

const total = (lags) => Object.values(lags).reduce((sum, lag) => sum + lag, 0);

// The level of worry, a word for the pill, the verdict, and what there is to say about it.
function judge({ learner, snapshot, fault }, now) {
  if (fault) {
    return ["bad", "not looked at", "Nobody knows",
      `The predictor cannot look into the model’s directory since ${clock(fault.since_seconds)}: ${fault.error}. What you see is of before.`];
  }
  if (!learner) {
    if (!snapshot) {
      return ["unknown", "no learner yet", "Nothing here yet",
        "No learner has written into this directory. Start one, as with si-stream serve; this page fills by itself."];
    }
    return ["unknown", "no learner here", "Nothing learns here",
      "There is no learner in this directory. Predictions are answered from the snapshot that is there."];
  }
  const lag = total(learner.lag_messages);
  if (learner.away) {
    return ["bad", `away since ${clock(learner.written_seconds)}`, "No",
      `Nothing has been heard of the learner for ${duration(now - learner.written_seconds)}: it was killed, or cannot write. Predictions go on.`];
  }
  if (learner.status === "stopped") {
    return ["unknown", "stopped", "Stopped",
      `The learner was stopped in good order ${duration(now - learner.written_seconds)} ago, and what it learned is saved. Predictions go on.`];
  }
  if (learner.awaited_partition) {
    const { partition, seconds } = learner.awaited_partition;
    return ["warn", `waiting for partition ${partition}`, "It waits",
      `Partition ${partition} has had no message for ${duration(seconds)}, and all others wait for it. Is a sender missing?`];
  }
  if (learner.status === "idle" && lag > WAITING) {
    return ["warn", "idle", "It stands still",
      `No batch was learned for ten seconds, although ${many(lag, "message")} wait.`];
  }
  if (learner.status === "idle") {
    return ["good", "idle, up to date", "Yes", lag
      ? `It waits for more: ${many(lag, "message")} ${lag === 1 ? "is" : "are"} kept for a batch that is not full yet.`
      : "It has learned all that came, and waits for more."];
  }
  const task = learner.active_task ? `It is learning ${learner.active_task}.` : "It is learning.";
  return ["good", "learning", "Yes", task];
}

function figures(learner, snapshot, now) {
  const shown = [];
  if (learner) {
    const lag = total(learner.lag_messages);
    const { checkpoint } = learner;
    const atRest = learner.away || learner.status === "stopped";
    shown.push(["Pace", atRest ? "–" : `${rate(learner.samples_per_second)} samples/s`,
      atRest ? "" : `${rate(learner.steps_per_second)} steps/s`]);
    shown.push(["Lag", Object.keys(learner.lag_messages).length ? many(lag, "message") : "–", "yet to be learned"]);
    shown.push(["Last checkpoint",
      checkpoint ? `${duration(now - checkpoint.written_seconds)} ago` : "none yet",
      checkpoint && checkpoint.step === learner.step ? "all is saved" : checkpoint ? `at step ${count(checkpoint.step)}` : ""]);
  }
  const lost = learner ? learner.skipped_batches + learner.quarantined_batches : 0;
  if (lost) shown.push(["Passed over", many(lost, "batch", "batches"), "in its life, not learned from"]);
  if (snapshot) {
    shown.push(["Predictions from", `step ${count(snapshot.step)}`, `${duration(now - snapshot.written_seconds)} old`]);
  }
  return shown;
}

export function renderHealth(sections, now) {
  const { learner, model, snapshot } = sections;
  const [level, word, verdict, because] = judge(sections, now);
  const pill = set("#state", word);
  pill.dataset.level = level;
  pill.classList.toggle("alive", word === "learning");
  set("#healthy .verdict", verdict).dataset.level = level;
  set("#healthy .because", because);
  set("#model", learner?.model ?? model?.model.name ?? "Waiting for a model");
  document.title = `${word} · SI Stream`;
  find("#healthy .figures").replaceChildren(
    ...figures(learner, snapshot, now).map(([name, value, more]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value, more ? make("small", {}, more) : null))),
  );
  set("#identity", learner
    ? `stream ${learner.stream} · epoch ${learner.epoch} · step ${count(learner.step)} · ${count(learner.samples)} samples · ${learner.network} on ${learner.device} · si-stream ${learner.version}`
    : "");
}
