// The pad to draw on, with a mouse, a finger or a pen.

const STROKE = 1 / 11; // of the pad's width

export class Pad {
  constructor(canvas, onDrawn) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.onDrawn = onDrawn;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    ["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, () => this.end()));
  }

  get size() {
    return this.canvas.width;
  }

  // Its pixels' brightness, row by row.
  get grey() {
    const { data } = this.context.getImageData(0, 0, this.size, this.size);
    return Uint8Array.from({ length: this.size * this.size }, (_, place) => data[4 * place]);
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.size, this.size);
    this.last = null;
    this.isCopy = false; // of a sample, which is not drawn over
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.size / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  begin(event) {
    event.preventDefault();
    if (this.isCopy) this.clear();
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.place(event);
    this.line(this.last, this.last);
  }

  go(event) {
    if (!this.last) return;
    (event.getCoalescedEvents?.() ?? [event]).forEach((one) => {
      const place = this.place(one);
      this.line(this.last, place);
      this.last = place;
    });
  }

  copy(canvas) {
    this.clear();
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(canvas, 0, 0, this.size, this.size);
    this.isCopy = true;
  }

  line(from, to) {
    Object.assign(this.context, { strokeStyle: "#fff", lineWidth: this.size * STROKE, lineCap: "round", lineJoin: "round" });
    this.context.beginPath();
    this.context.moveTo(...from);
    this.context.lineTo(...to);
    this.context.stroke();
  }

  end() {
    if (!this.last) return;
    this.last = null;
    this.onDrawn();
  }
}
