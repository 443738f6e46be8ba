// What happened, newest first; and of what matters one sentence for those who listen, not too often.

import { find, make, set } from "./elements.js";
import { clock, count, moment } from "./wording.js";

const KINDS = {
  learner: ["▶", "unknown", "Learner"],
  task: ["T", "good", "Task"],
  boundary: ["▮", "good", "Boundary"],
  checkpoint: ["✓", "unknown", "Saved"],
  notice: ["i", "warn", "Notice"],
  alarm: ["!", "bad", "Alarm"],
};
const SPOKEN = new Set(["boundary", "alarm", "learner"]);
const PAUSE_SECONDS = 10;

let spoken = null; // the time of the last that was

function item(happening) {
  const [sign, level, word] = KINDS[happening.kind];
  return make("li", {},
    make("span", { class: "kind", "data-level": level, "aria-hidden": "true" }, sign),
    make("span", {}, make("span", { class: "unseen" }, `${word}: `), happening.text),
    make("span", { class: "times" },
      make("time", { datetime: new Date(1000 * happening.time_seconds).toISOString(), title: moment(happening.time_seconds) }, clock(happening.time_seconds)),
      happening.count > 1 ? ` · ${count(happening.count)} times` : null));
}

function speak(happenings, now) {
  const latest = happenings.findLast((happening) => SPOKEN.has(happening.kind));
  if (!latest) return;
  if (spoken === null) spoken = { time: latest.time_seconds, at: -Infinity }; // what was there is no news
  if (latest.time_seconds <= spoken.time || now - spoken.at < PAUSE_SECONDS) return;
  set("#announcement", latest.text);
  spoken = { time: latest.time_seconds, at: now };
}

export function renderHappenings({ events }, now) {
  find("#happenings .empty").hidden = events.length > 0;
  find("#happenings .scrolls").hidden = events.length === 0;
  find("#happenings ol").replaceChildren(...events.map(item).reverse());
  speak(events, now);
}
