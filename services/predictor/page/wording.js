// Numbers and names as people read them, always with a unit.

const LOCALE = "en";
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (number) => whole.format(number);

export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

export const tenth = (ratio) => {
  const text = tenths.format(100 * ratio);
  return text === "-0.0" ? "0.0" : text.replace("-", "−");
};

export const percent = (ratio) => (ratio === null || ratio === undefined ? "–" : `${tenth(ratio)} %`);

export const points = (ratio) =>
  ratio === null || ratio === undefined ? "–" : `${tenth(ratio)} points`;

export const rate = (number) => (number >= 10 || number === 0 ? count(number) : tenths.format(number));

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return many(Math.round(s / 86400), "day");
}

export const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString(LOCALE, { hour12: false });

export const moment = (seconds) =>
  new Date(1000 * seconds).toLocaleString(LOCALE, { dateStyle: "medium", timeStyle: "short", hour12: false });

// Without what all begin with: 0-1 and 2-3 for digits-0-1 and digits-2-3.
export function shortNames(names) {
  const prefix = names.length > 1 ? `${names[0].split("-")[0]}-` : "";
  const shared = prefix.length > 1 && names.every((name) => name.startsWith(prefix));
  return new Map(names.map((name) => [name, shared ? name.slice(prefix.length) : name]));
}

const METHODS = {
  "synaptic-intelligence": "Synaptic Intelligence",
  ewc: "Elastic Weight Consolidation",
  "online-ewc": "online Elastic Weight Consolidation",
  lwf: "Learning without Forgetting",
  "slow-trunk": "a slowed trunk",
};

export const method = (consolidator) => METHODS[consolidator] ?? consolidator;

export function trackTitle(track) {
  if (track.name !== "main") return "Without it (the shadow)";
  return track.consolidator === "none" ? "Without consolidation" : `With ${method(track.consolidator)}`;
}
