// A colour, a dash and a symbol for each task, so that no two are told apart by colour alone.

const COLOURS = 6;
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star"];

export const cssColour = (number) => `var(--series-${1 + (number % COLOURS)})`;

export function style(number) {
  return {
    colour: colourOf(`--series-${1 + (number % COLOURS)}`),
    dash: DASHES[Math.floor(number / COLOURS) % DASHES.length],
    symbol: SYMBOLS[number % SYMBOLS.length],
  };
}

export const colourOf = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

// How bright it is to the eye, as WCAG has it.
function luminance(colour) {
  const [red, green, blue] = colour.map((channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// A colour for a heat from 0 to 1, and the ink that is read on it: one of the two always has 4.5 to 1.
export function heatOf(heat) {
  const [low, high] = ["--heat-low", "--heat-high"].map((variable) => channels(colourOf(variable)));
  const colour = low.map((channel, number) => Math.round(channel + heat * (high[number] - channel)));
  return { "--heat": `rgb(${colour.join(" ")})`, "--on-heat": luminance(colour) > 0.179 ? "#000" : "#fff" };
}
