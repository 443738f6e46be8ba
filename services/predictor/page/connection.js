// The connection: what the predictor tells, section by section, for as long as the page is looked at.

import { ask, LOCKED } from "./door.js";
import { listen } from "./listening.js";

const RETRY_MILLISECONDS = 2000;
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

  async open() {
    clearTimeout(this.timer);
    this.leave();
    this.heard();
    const own = (this.listening = new AbortController());
    let state = "lost";
    try {
      const response = await ask("events", { signal: own.signal });
      if (response.ok) await listen(response.body, (event) => this.hear(event));
      else {
        await response.text(); // or leaving would break it off
        if (response.status === LOCKED) state = "locked";
      }
    } catch {
      // of the network, whose errors say nothing
    }
    if (own.signal.aborted) return; // another has been opened since, or nobody looks
    this.onState(state);
    if (state === "lost") this.timer = setTimeout(() => this.open(), RETRY_MILLISECONDS);
    else this.asleep = true; // until there is another token
  }

  leave() {
    this.listening?.abort();
  }

  // With another token.
  unlock() {
    this.asleep = false;
    this.open();
  }

  hear({ name, data }) {
    try {
      if (name === "alive") this.heard(JSON.parse(data));
      else if (data) this.take(JSON.parse(data));
    } catch (error) {
      reportError(error); // of the page, which goes on listening
    }
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
        this.leave();
        this.asleep = true;
        this.onState("asleep");
      }, HIDDEN_MILLISECONDS);
    } else if (this.asleep) {
      this.asleep = false;
      this.open();
    }
  }
}
