// Is it forgetting, and why? Both from the same figures, said in words.

import { find, make, set } from "./elements.js";
import { count, many, method, percent, points } from "./wording.js";

// As the alert SIStreamForgetting has it (deploy/prometheus/rules.yml): so much below a task's best,
// with so many standard errors of the difference taken off.
export const FORGOTTEN = 0.05;
const ERRORS = 3;

export const isForgotten = (measured) =>
  measured?.forgetting - ERRORS * (measured?.forgetting_standard_error ?? measured?.standard_error) > FORGOTTEN;

function worst(tasks, track) {
  return tasks
    .map((task) => ({ name: task.name, ...task.tracks[track] }))
    .filter(isForgotten)
    .sort((one, other) => other.forgetting - one.forgetting)[0];
}

function judge(main, tasks) {
  const earlier = tasks.filter((task) => (task.tracks.main?.forgetting ?? null) !== null).length;
  const lost = worst(tasks, "main");
  if (lost) {
    return ["bad", "Yes", `${lost.name} is ${points(lost.forgetting)} below its best.`];
  }
  if (earlier === 0) {
    const measured = tasks.some((task) => task.tracks.main);
    if (tasks.length && !measured) {
      return ["unknown", "Not measured", "No holdout samples have come; without them nobody can say."];
    }
    return ["unknown", "Too early to say", "A task can be forgotten once it has ended and another is learned."];
  }
  const mean = main.mean_forgetting;
  return ["good", "No", mean === null
    ? "The task that has ended is as well known as at its end."
    : `${points(mean)} forgotten on average, of ${many(earlier, "task")} that ended.`];
}

const ROWS = [
  ["average_accuracy", "Average accuracy", percent],
  ["mean_forgetting", "Mean forgetting", points],
  ["backward_transfer", "Backward transfer", points],
];

function compare(tracks) {
  const head = find("#forgetting thead");
  const names = tracks.map((track) => (track.name === "main" ? "this model" : "its shadow"));
  head.replaceChildren(make("tr", {}, make("th", { scope: "col" }, "At the last boundary"),
    ...names.map((name) => make("th", { scope: "col" }, name))));
  find("#forgetting tbody").replaceChildren(...ROWS.map(([key, label, word]) =>
    make("tr", { title: TITLES[key] }, make("th", { scope: "row" }, label),
      ...tracks.map((track) => make("td", {
        class: track.name === "main" ? null : "other", "data-figure": `${track.name} ${key}`, "data-value": track[key],
      }, word(track[key]))))));
}

const TITLES = {
  average_accuracy: "Mean over all tasks",
  mean_forgetting: "Mean over the earlier tasks of: best at a boundary, less the last",
  backward_transfer: "Mean over the earlier tasks of: accuracy now, less that when the task ended; below zero, it was lost",
};

// Of a task, the one that was learned while most of it was lost.
function culprit(matrix, track, task) {
  const column = matrix.tasks.indexOf(task);
  const rows = (matrix.tracks[track] ?? []).filter((row) => (row.cells[column] ?? null) !== null);
  let most = { drop: 0, after: null };
  for (let number = 1; number < rows.length; number += 1) {
    const drop = rows[number - 1].cells[column] - rows[number].cells[column];
    if (drop > most.drop) most = { drop, after: rows[number].after };
  }
  return most.after;
}

function reasons({ learner, matrix, tasks, tracks, boundaries, visits }) {
  const said = [];
  const main = tracks.find((track) => track.name === "main");
  const shadow = tracks.find((track) => track.name === "shadow");
  const lost = worst(tasks, "main");
  const during = lost && culprit(matrix, "main", lost.name);
  if (during) said.push(["bad", "Lost most ", `of ${lost.name} while ${during} was learned.`]);
  if (main?.consolidator === "none") {
    said.push([lost ? "bad" : null, "Nothing holds old tasks: ", "this model learns without consolidation."]);
  } else if (main) {
    const strength = learner ? `, strength ${learner.strength}` : "";
    said.push([null, `${method(main.consolidator)}${strength}, `, "holds the weights that earlier tasks need."]);
  }
  if (shadow && shadow.mean_forgetting !== null && main) {
    const saved = shadow.mean_forgetting - (main.mean_forgetting ?? 0);
    said.push([saved > FORGOTTEN ? "good" : null, `${points(shadow.mean_forgetting)} `,
      `are forgotten by the shadow, the same network on the same samples without it: ${points(Math.max(0, saved))} are saved.`]);
  } else if (main && !shadow) {
    said.push([null, "No shadow ", "learns beside it. Started with --shadow none, a learner shows what consolidation saves."]);
  }
  const boundary = boundaries.at(-1);
  if (boundary) {
    said.push([null, "Last boundary: ",
      `${boundary.task} ended after ${count(boundary.samples)} samples, ${boundary.noticed ? "noticed by the learner itself" : "as the stream told"}.`]);
  } else if (visits.length) {
    said.push([null, "The first task ", `${visits[0].task} has not ended yet.`]);
  }
  return said;
}

export function renderVerdict(sections) {
  const { tasks, tracks } = sections;
  const main = tracks.find((track) => track.name === "main");
  const [level, verdict, because] = judge(main ?? { mean_forgetting: null }, tasks);
  set("#forgetting .verdict", verdict).dataset.level = level;
  set("#forgetting .because", because);
  compare(tracks);
  find("#forgetting table").hidden = tracks.every((track) => track.average_accuracy === null);
  const said = reasons(sections);
  find("#why .reasons").replaceChildren(...(said.length ? said : [[null, "", "There is nothing to explain yet."]])
    .map(([level, strong, text]) => make("li", { "data-level": level }, make("strong", {}, strong), text)));
}
