// The box to ask the model in: draw, or pick a sample; what it is offered depends on the model.

import { ask, forget } from "./answers.js";
import { ask as request } from "./door.js";
import { Pad } from "./drawing.js";
import { find, make, set } from "./elements.js";
import { asInput, fitted, formOf, show } from "./images.js";

const AGAIN_SECONDS = 5; // for samples, where there were none
const ASKED_AGAIN_SECONDS = 30; // for the same input, of newer snapshots

export class Asking {
  constructor() {
    this.model = null;
    this.input = null;
    this.looked = -Infinity;
    this.pad = new Pad(find("#pad"), () => this.drawn());
    find("#clear").addEventListener("click", () => this.clear());
    find("#sample-task").addEventListener("change", () => this.offerSamples());
  }

  // Args: model as GET /tasks has it, or null where no snapshot is served yet.
  render(model) {
    this.model = model;
    const tasks = model?.tasks ?? [];
    this.form = model ? formOf(model.model) : null;
    find("#ask .asking").hidden = tasks.length === 0;
    find("#ask .drawing").hidden = !this.form;
    set("#ask-hint", tasks.length === 0
      ? "There is no model to ask yet: the first snapshot comes seconds after the first samples."
      : `${this.form ? "Draw, or pick" : "Pick"} an input. Each task’s head answers; in green, the model itself finds out which task it is of.`);
    if (tasks.length === 0) return;
    this.offerTasks(tasks);
    const now = performance.now() / 1000;
    if (!find(".samples").children.length && now - this.looked > AGAIN_SECONDS) this.offerSamples();
    const isOld = this.version !== this.versionOf(model) && now - this.asked > ASKED_AGAIN_SECONDS;
    if (this.input && isOld && !this.waiting) this.put(this.input);
  }

  versionOf = ({ version }) => `${version.epoch}.${version.step}`;

  offerTasks(tasks) {
    const select = find("#sample-task");
    const names = tasks.map((task) => task.name);
    if (names.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
    const before = select.value;
    select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    if (names.includes(before)) select.value = before;
  }

  async offerSamples() {
    this.looked = performance.now() / 1000;
    const task = find("#sample-task").value;
    const response = await request(`samples?task=${encodeURIComponent(task)}`);
    if (!response.ok) return;
    const { samples } = await response.json();
    if (task !== find("#sample-task").value) return; // another was chosen meanwhile
    find("#ask .picking").hidden = samples.length === 0 && find(".samples").children.length === 0;
    find(".samples").replaceChildren(...samples.map((sample) => this.sampleButton(sample)));
  }

  sampleButton(sample) {
    const name = sample.class ?? sample.label;
    const button = make("button", { type: "button", "aria-pressed": "false", "aria-label": `sample of “${name}”`, title: `${name}`, onclick: () => this.picked(sample, button) });
    if (this.form) {
      const canvas = make("canvas", { "aria-hidden": "true" });
      show(canvas, sample.input, this.form);
      button.append(canvas);
    } else {
      button.classList.add("plain");
      button.append(`${name}`);
    }
    return button;
  }

  picked(sample, button) {
    this.press(button);
    if (this.form) {
      show(find("#seen"), sample.input, this.form);
      this.pad.copy(find("#seen"));
    }
    this.put(sample.input);
  }

  press(button) {
    document.querySelectorAll(".samples button").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
  }

  drawn() {
    this.press(null);
    const input = asInput(fitted(this.pad.grey, this.pad.size, this.form), this.form);
    show(find("#seen"), input, this.form);
    this.put(input);
  }

  async put(input) {
    this.input = input;
    this.version = this.versionOf(this.model);
    this.asked = performance.now() / 1000;
    const isLatest = () => this.input === input; // not cleared, and nothing else drawn meanwhile
    this.waiting = true;
    try {
      await ask(input, this.model, isLatest);
    } catch (error) {
      if (isLatest()) set("#said", `It cannot be asked now: ${error.message}`);
    }
    if (isLatest()) this.waiting = false;
  }

  clear() {
    this.input = null;
    this.waiting = false;
    this.press(null);
    this.pad.clear();
    find("#seen").getContext("2d").clearRect(0, 0, find("#seen").width, find("#seen").height);
    forget();
  }
}
