// The live page: what the predictor tells goes to the part of the page that shows it.

import { Asking } from "./asking.js";
import { Connection } from "./connection.js";
import { renderCurves } from "./curves.js";
import { hasKey, keep } from "./door.js";
import { find, set } from "./elements.js";
import { renderHappenings } from "./happenings.js";
import { renderHealth } from "./health.js";
import { renderMatrix, renderTasks } from "./tables.js";
import { renderVerdict } from "./verdict.js";

const asking = new Asking();
const has = (changed, ...names) => names.some((name) => changed.has(name));
const hasCurve = (changed) => [...changed].some((name) => name.startsWith("curve/"));

function change(sections, changed) {
  renderHealth(sections, connection.now());
  if (has(changed, "tasks", "tracks", "matrix", "boundaries", "visits", "learner")) renderVerdict(sections);
  if (has(changed, "tasks", "tracks", "visits", "boundaries") || hasCurve(changed)) renderCurves(sections);
  if (has(changed, "tasks", "tracks")) renderTasks(sections);
  if (has(changed, "matrix", "tracks")) renderMatrix(sections);
  if (has(changed, "events")) renderHappenings(sections, connection.now());
  if (has(changed, "model")) asking.render(sections.model);
  document.body.dataset.shown = sections.learner ? sections.learner.written_seconds : "none";
}

const connection = new Connection(change, (state) => {
  const isLost = state === "lost";
  document.body.classList.toggle("stale", state !== "open");
  if (state !== "open") document.title = "SI Stream"; // what it said is of before
  heedLock(state);
  const notice = set("#connection", isLost ? "The connection to the predictor is lost; trying again. What you see is of before." : "");
  notice.hidden = !isLost;
  if (isLost) set("#state", "not connected").dataset.level = "warn";
});

// Asks for the token where the predictor wants one, or another than it was sent.
function heedLock(state) {
  const isLocked = state === "locked";
  const wasLocked = !find("#lock").hidden;
  find("#lock").hidden = !isLocked;
  if (!isLocked) return;
  set("#lock-hint", hasKey() ? "This predictor does not take the token that it was sent. Enter another." : "This predictor answers to those who have its token alone.");
  set("#state", "locked").dataset.level = "unknown";
  hideLinks();
  if (!wasLocked) find("#token").focus();
}

// To what the token is needed for, as a link sends none.
function hideLinks() {
  document.querySelectorAll(".needs-token").forEach((link) => { link.hidden = true; });
}

if (hasKey()) hideLinks();
find("#lock").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(find("#token").value.trim());
  find("#token").value = "";
  connection.unlock();
});

const isTold = () => Object.keys(connection.sections).length > 0;
const isCurrent = () => isTold() && !document.body.classList.contains("stale");
setInterval(() => isCurrent() && renderHealth(connection.sections, connection.now()), 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!isTold()) return;
  renderCurves(connection.sections); // what is drawn in colours, not styled by them
  renderMatrix(connection.sections);
});
