// What the model answers: each task's head, and the one that is chosen where no task is named.

import { ask as request } from "./door.js";
import { find, make, set } from "./elements.js";
import { percent } from "./wording.js";

const SHOWN_LABELS = 3;
const ASKED_HEADS = 20; // the newest; each is a request

async function predict(members) {
  const response = await request("predict", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(members),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

const nameOf = (task, label) => task?.classes?.[label] ?? `${label}`;

function bars(task, probabilities) {
  const ranked = probabilities.map((probability, label) => ({ probability, label }));
  if (ranked.length > SHOWN_LABELS) ranked.sort((one, other) => other.probability - one.probability);
  return make("ol", {}, ...ranked.slice(0, SHOWN_LABELS).map(({ probability, label }) =>
    make("li", {}, make("span", {}, nameOf(task, label)),
      make("span", { class: "bar", "aria-hidden": "true" }, make("i", { "--share": probability })),
      make("b", {}, percent(probability)))));
}

function head(of, task, prediction, chosen) {
  const says = `${nameOf(task, prediction.label)} · ${percent(Math.max(...prediction.probabilities))}`;
  return make("div", {
    class: `head${chosen ? " chosen" : ""}`, "data-head": chosen ? "" : task.name, "data-label": prediction.label,
    "data-probabilities": JSON.stringify(prediction.probabilities),
  }, make("span", { class: "of" }, of), make("span", { class: "says" }, says), bars(task, prediction.probabilities));
}

// Args: tasks and model as GET /tasks has them; whether the answers are still wanted once they are there.
export async function ask(input, { tasks, model }, isWanted) {
  const inputs = [input];
  const shared = model.heads === "shared";
  const heads = tasks.slice(shared ? -1 : -ASKED_HEADS);
  const choosing = !shared && tasks.length > 1 && tasks.some((task) => task.choosable);
  const [chosen, ...said] = await Promise.all([
    choosing ? predict({ inputs }) : null, ...heads.map((task) => predict({ task: task.name, inputs })),
  ]);
  if (!isWanted()) return;
  const rows = said.map((answer, number) =>
    head(shared ? "the head of all tasks" : heads[number].name, heads[number], answer.predictions[0], false));
  if (chosen) {
    const prediction = chosen.predictions[0];
    const task = tasks.find(({ name }) => name === prediction.task);
    rows.unshift(head(`no task named: looks like ${prediction.task} (${percent(prediction.task_probability)})`, task, prediction, true));
    set("#said", `It takes this for “${nameOf(task, prediction.label)}” of ${prediction.task}, ${percent(Math.max(...prediction.probabilities))} sure.`);
  } else {
    const best = said[0].predictions[0];
    set("#said", `Head ${heads[0].name} takes this for “${nameOf(heads[0], best.label)}”, ${percent(Math.max(...best.probabilities))} sure.`);
  }
  find("#heads").replaceChildren(...rows);
}

export function forget() {
  set("#said", "Draw a digit, or pick a sample.");
  find("#heads").replaceChildren();
}
