// Each task now, and the accuracy matrix: tables, which all can read.

import { find, make } from "./elements.js";
import { cssColour, heatOf } from "./palette.js";
import { FORGOTTEN, isForgotten } from "./verdict.js";
import { count, shortNames, tenth, trackTitle } from "./wording.js";

const LEAST = 0.4; // the palest in a matrix: of two labels chance gets half right
const STEEP = 1.6; // so that 99 and 90 % can be told apart
const MANY = 8; // columns that fit a phone

const whose = (track) => make("small", {}, make("span", { class: "long" }, track.name === "main" ? "this " : "its "),
  track.name === "main" ? "model" : "shadow");

function accuracyCell(name, track, measured) {
  if (!measured) return make("td", {}, "–");
  return make("td", { "data-figure": `${track} ${name} accuracy`, "data-value": measured.accuracy },
    `${tenth(measured.accuracy)} %`, make("small", {}, ` ± ${tenth(measured.standard_error)}`));
}

function forgottenCell(name, track, measured) {
  const { forgetting = null } = measured ?? {};
  if (forgetting === null) return make("td", {}, "–");
  const lost = isForgotten(measured);
  return make("td", { "data-figure": `${track} ${name} forgetting`, "data-value": forgetting },
    make("span", { class: lost ? "lost" : null }, `${lost ? "▼ " : ""}${tenth(forgetting)}`),
    measured.forgetting_standard_error === null ? null : make("small", {}, ` ± ${tenth(measured.forgetting_standard_error)}`),
    make("span", { class: "bar", "data-level": lost ? "bad" : null, "aria-hidden": "true" },
      make("i", { "--share": Math.min(1, Math.max(0, forgetting / 0.5)) })));
}

export function renderTasks({ tasks, tracks }) {
  const names = shortNames(tasks.map((task) => task.name));
  find("#tasks .empty").hidden = tasks.length > 0;
  find("#tasks .scrolls").hidden = tasks.length === 0;
  find("#tasks thead").replaceChildren(make("tr", {}, make("th", { scope: "col" }, "Task"),
    ...tracks.flatMap((track) => [
      make("th", { scope: "col" }, "Right", whose(track)),
      make("th", { scope: "col" }, "Forgotten", whose(track)),
    ])));
  find("#tasks tbody").replaceChildren(...tasks.map((task, number) =>
    make("tr", {},
      make("th", { scope: "row" }, make("span", { class: "swatch", "--swatch": cssColour(number) }),
        make("span", { class: "long" }, task.name), make("span", { class: "short" }, names.get(task.name)),
        task.active ? make("span", { class: "now" }, make("span", { class: "long" }, "learning "), "now") : null),
      ...tracks.flatMap(({ name }) => [
        accuracyCell(task.name, name, task.tracks[name]),
        forgottenCell(task.name, name, task.tracks[name]),
      ]))));
}

function heatCell(ratio, best, figure) {
  if (ratio === null) return make("td", { class: "none" }, make("span", { class: "unseen" }, "not begun"));
  const heat = Math.max(0, (ratio - LEAST) / (1 - LEAST)) ** STEEP;
  const forgotten = best - ratio > FORGOTTEN;
  return make("td", { ...heatOf(heat), "data-figure": figure, "data-value": ratio },
    forgotten ? make("span", { class: "mark", title: `${count(Math.round(100 * (best - ratio)))} points below its best` }, "▼") : null,
    tenth(ratio));
}

function matrix(track, tasks, rows) {
  const names = shortNames(tasks);
  const best = tasks.map(() => 0);
  return make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": `Accuracy matrix, ${trackTitle(track)}` },
    make("table", { class: `matrix${tasks.length > MANY ? " many" : ""}` },
      make("caption", { class: "unseen" }, `Accuracy in %, ${trackTitle(track)}`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "after"),
        ...tasks.map((task) => make("th", { scope: "col", title: task }, names.get(task))))),
      make("tbody", {}, ...rows.map((row, number) => make("tr", {},
        make("th", { scope: "row", title: row.after }, names.get(row.after) ?? row.after),
        ...row.cells.map((cell, column) => {
          const before = best[column];
          best[column] = Math.max(before, cell ?? 0);
          return heatCell(cell, before, `matrix ${track.name} ${number} ${column}`);
        }))))));
}

export function renderMatrix({ matrix: shown, tracks }) {
  const drawn = tracks.filter((track) => shown.tracks[track.name]?.length);
  find("#matrix .empty").hidden = drawn.length > 0;
  find("#matrix .matrices").replaceChildren(...drawn.map((track) =>
    make("div", {}, make("h3", {}, trackTitle(track)), matrix(track, shown.tasks, shown.tracks[track.name]))));
}
