// The connection: what the predictor tells, section by section, for as long as the page is looked at.
// An EventSource connects again by itself, but not after an answer that is no stream, nor when hidden.

const RETRY_MILLISECONDS = 5000;
const HIDDEN_MILLISECONDS = 30000;
const SILENT_MILLISECONDS = 25000; // the predictor says something every ten seconds
const LOOK_MILLISECONDS = 1000;

export class Connection {
  constructor(onChange, onState) {
    this.sections = {};
    this.offsetSeconds = 0;
    this.onChange = onChange;
    this.onState = onState;
    document.addEventListener("visibilitychange", () => this.heedVisibility());
    setInterval(() => this.heedSilence(), LOOK_MILLISECONDS);
    this.open();
  }

  // The predictor's clock, which all times are of.
  now() {
    return Date.now() / 1000 + this.offsetSeconds;
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    this.heard();
    this.source = new EventSource("events");
    this.source.onmessage = (event) => this.take(JSON.parse(event.data));
    this.source.addEventListener("alive", (event) => this.heard(JSON.parse(event.data)));
    this.source.onerror = () => {
      this.onState("lost");
      if (this.source.readyState === EventSource.CLOSED) {
        this.timer = setTimeout(() => this.open(), RETRY_MILLISECONDS);
      }
    };
  }

  heard(told) {
    this.heardAt = performance.now();
    if (told) this.offsetSeconds = told.now_seconds - Date.now() / 1000;
  }

  // A connection may die without a word: no error is told of it.
  heedSilence() {
    if (this.asleep || performance.now() - this.heardAt < SILENT_MILLISECONDS) return;
    this.onState("lost");
    this.open();
  }

  take({ now_seconds, full, gone, sections }) {
    this.heard({ now_seconds });
    const changed = new Set([...Object.keys(sections), ...gone]);
    if (full) {
      Object.keys(this.sections).forEach((name) => changed.add(name));
      this.sections = {};
    }
    gone.forEach((name) => delete this.sections[name]);
    Object.assign(this.sections, sections);
    this.onState("open");
    this.onChange(this.sections, changed);
  }

  heedVisibility() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        clearTimeout(this.timer);
        this.source.close();
        this.asleep = true;
        this.onState("asleep");
      }, HIDDEN_MILLISECONDS);
    } else if (this.asleep) {
      this.asleep = false;
      this.open();
    }
  }
}
