// Accuracy over the stream, a chart for each track, drawn by plotly.js.

import { find, make } from "./elements.js";
import { colourOf, style } from "./palette.js";
import { count, percent, shortNames, trackTitle } from "./wording.js";

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false };
const NAMED_BANDS = 12;

let plotly = null;

function load() {
  plotly ??= new Promise((resolve, reject) => {
    const script = make("script", { src: document.body.dataset.plotly });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = null; // tried again with the next curve
      reject(new Error("plotly.js cannot be loaded"));
    };
    document.head.append(script);
  });
  return plotly;
}

// Names come from the stream, and plotly takes text for markup and for formats.
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("%{", "%\u200b{");

const curveOf = (sections, track, task) => sections[`curve/${track}/${task}`];

function lines(sections, track, names) {
  return sections.tasks.flatMap((task, number) => {
    const curve = curveOf(sections, track, task.name);
    if (!curve) return [];
    const { colour, dash, symbol } = style(number);
    const last = curve.samples.length - 1;
    return [{
      type: "scatter", mode: "lines+markers", name: plain(names.get(task.name)), cliponaxis: false,
      x: curve.samples, y: curve.accuracy.map((ratio) => 100 * ratio),
      line: { color: colour, dash, width: 2.2 },
      marker: { color: colour, symbol, size: curve.samples.map((_, point) => (point === last ? 9 : 0.1)) },
      hovertemplate: `${plain(task.name)}: %{y:.1f} %<extra></extra>`,
    }];
  });
}

// Each curve's name at its end, lower where it would lie on another.
function labels(traces, floor) {
  const gap = (101 - floor) / 15;
  let height = 101 + gap / 2;
  return traces
    .map((trace) => ({ end: trace.y.at(-1), text: trace.name, colour: trace.line.color }))
    .sort((one, other) => other.end - one.end)
    .map(({ end, text, colour }) => {
      height = Math.min(end, height - gap);
      return { xref: "paper", x: 1, xanchor: "left", xshift: 12, y: height, yanchor: "middle", text, showarrow: false, font: { color: colour, size: 12 } };
    });
}

function bands({ visits, boundaries }, end, names) {
  const line = colourOf("--line");
  const noticed = new Set(boundaries.filter((boundary) => boundary.noticed).map((boundary) => boundary.samples));
  const edges = [...visits.map((visit) => visit.samples), end];
  const shapes = visits.map((visit, number) => ({
    type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: visit.samples, x1: edges[number + 1],
    fillcolor: colourOf("--raised"), opacity: number % 2 ? 0 : 1, line: { width: 0 },
  }));
  shapes.push(...boundaries.map(({ samples }) => ({
    type: "line", layer: "below", yref: "paper", y0: 0, y1: 1, x0: samples, x1: samples,
    line: { color: noticed.has(samples) ? colourOf("--warn") : line, width: 1.5, dash: noticed.has(samples) ? "dot" : "solid" },
  })));
  const named = visits.length > NAMED_BANDS ? [] : visits;
  const annotations = named.map((visit, number) => ({
    x: (visit.samples + edges[number + 1]) / 2, yref: "paper", y: 1, yanchor: "bottom", showarrow: false,
    text: plain(names.get(visit.task) ?? visit.task), font: { color: colourOf("--soft"), size: 11 },
  }));
  return { shapes, annotations };
}

function layout(sections, traces, floor, names) {
  const soft = colourOf("--soft");
  const end = Math.max(sections.learner?.samples ?? 0, 1, ...traces.map((trace) => trace.x.at(-1)));
  const { shapes, annotations } = bands(sections, end, names);
  const longest = Math.max(3, ...traces.map((trace) => trace.name.length));
  const axis = { color: soft, gridcolor: colourOf("--line"), zeroline: false, fixedrange: true, tickfont: { size: 11 } };
  return {
    margin: { l: 46, r: 22 + 7 * Math.min(longest, 12), t: 22, b: 42 }, showlegend: false, hovermode: "x unified",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", color: soft },
    hoverlabel: { bgcolor: colourOf("--card"), bordercolor: colourOf("--line"), font: { color: colourOf("--ink") } },
    xaxis: { ...axis, range: [0, end], title: { text: "samples learned", font: { size: 12 } }, showgrid: false, nticks: 6, separatethousands: true, tickformat: ",d", ticklabelstandoff: 5 },
    yaxis: { ...axis, range: [floor, 101.5], ticksuffix: " %", nticks: 6 },
    shapes, annotations: [...annotations, ...labels(traces, floor)],
  };
}

const inWords = (traces) =>
  traces.length === 0 ? "No task has been measured yet." : traces
    .map((trace) => `${trace.name} ${percent(trace.y.at(-1) / 100)} after ${count(trace.x.at(-1))} samples`)
    .join("; ");

function panel(track) {
  const id = `panel-${track.name}`;
  return document.getElementById(id) ?? make("figure", { id },
    make("figcaption", {}, ""), make("div", { class: "chart", role: "img" }));
}

export async function renderCurves(sections) {
  const place = find("#course .panels");
  const { tracks, tasks } = sections;
  const shown = tracks.filter((track) => tasks.some((task) => curveOf(sections, track.name, task.name)));
  if (shown.length === 0) {
    place.replaceChildren(make("p", { class: "empty" }, "The first curve begins with the first measurement on holdout samples."));
    return;
  }
  const figures = shown.map(panel);
  if (figures.some((figure, number) => place.children[number] !== figure) || place.children.length !== figures.length) {
    place.replaceChildren(...figures);
  }
  const names = shortNames(tasks.map((task) => task.name));
  const traces = shown.map((track) => lines(sections, track.name, names));
  const lowest = Math.min(...traces.flat().flatMap((trace) => trace.y));
  const floor = Math.min(50, 10 * Math.floor(lowest / 10));
  shown.forEach((track, number) => {
    const [caption, chart] = figures[number].children;
    caption.replaceChildren(trackTitle(track),
      make("span", {}, track.average_accuracy === null ? "" : `${percent(track.average_accuracy)} on average`));
    chart.setAttribute("aria-label",
      `Holdout accuracy, ${trackTitle(track)}. Last measured: ${inWords(traces[number])}. The table Each task now has the same.`);
  });
  try {
    const Plotly = await load();
    await Promise.all(shown.map((_, number) =>
      Plotly.react(figures[number].children[1], traces[number], layout(sections, traces[number], floor, names), CONFIG)));
  } catch (error) {
    figures.forEach((figure) => figure.children[1].replaceChildren(make("p", { class: "empty" }, `${error.message}; the table below has the figures.`)));
  }
}
