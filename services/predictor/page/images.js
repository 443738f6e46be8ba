// Images as a model takes them: their form, and a drawing brought into it.

const WIDE = 16; // from here on a digit has a margin around it, as MNIST's have
const MARGIN = 4 / 28;

// {height, width, channels} of an input that is an image, else null.
export function formOf({ input_shape: shape, dtype }) {
  const [height, width] = shape.slice(-2);
  const channels = shape.length === 2 ? 1 : shape.length === 3 ? shape[0] : 0;
  const isImage = (channels === 1 || channels === 3) && Math.min(height, width) >= 4 && Math.max(height, width) <= 512;
  return isImage ? { height, width, channels, shape, dtype } : null;
}

// The box around all ink of a grey image, and where its weight lies.
function inked(grey, size) {
  let [left, top, right, bottom, sum, x, y] = [size, size, -1, -1, 0, 0, 0];
  grey.forEach((ink, place) => {
    if (ink < 16) return;
    const [column, row] = [place % size, Math.floor(place / size)];
    left = Math.min(left, column);
    right = Math.max(right, column);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row);
    sum += ink;
    x += ink * (column + 0.5);
    y += ink * (row + 0.5);
  });
  return sum ? { left, top, right: right + 1, bottom: bottom + 1, x: x / sum, y: y / sum } : null;
}

// How much of the grey image lies in a rectangle of it, on average.
function mean(grey, size, x0, y0, x1, y1) {
  let sum = 0;
  for (let row = Math.floor(y0); row < y1; row += 1) {
    const high = Math.min(row + 1, y1) - Math.max(row, y0);
    for (let column = Math.floor(x0); column < x1; column += 1) {
      const wide = Math.min(column + 1, x1) - Math.max(column, x0);
      const inside = row >= 0 && column >= 0 && row < size && column < size;
      sum += inside ? grey[row * size + column] * high * wide : 0;
    }
  }
  return sum / ((x1 - x0) * (y1 - y0));
}

// A square grey image [size * size] of 0 to 255, centred and scaled as the digits of benchmarks are.
export function fitted(grey, size, { height, width }) {
  const box = inked(grey, size);
  const rows = Array.from({ length: height }, () => new Array(width).fill(0));
  if (!box) return rows;
  const margin = Math.min(height, width) >= WIDE ? MARGIN : 0;
  const scale = Math.max((box.bottom - box.top) / (height * (1 - 2 * margin)), (box.right - box.left) / (width * (1 - 2 * margin)));
  const byWeight = margin > 0;
  const [x, y] = byWeight ? [box.x, box.y] : [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const [left, top] = [x - (width * scale) / 2, y - (height * scale) / 2];
  return rows.map((row, r) => row.map((_, c) =>
    mean(grey, size, left + c * scale, top + r * scale, left + (c + 1) * scale, top + (r + 1) * scale)));
}

// Grey rows of 0 to 255 as an input of the model's shape and dtype.
export function asInput(rows, { channels, shape, dtype }) {
  const number = dtype === "uint8" ? (grey) => Math.round(grey) : (grey) => Math.round((grey / 255) * 1e4) / 1e4;
  const plane = rows.map((row) => row.map(number));
  return shape.length === 2 ? plane : Array.from({ length: channels }, () => plane);
}

// An input on a canvas, a pixel each.
export function show(canvas, input, { height, width, shape, dtype }) {
  const planes = shape.length === 2 ? [input] : input;
  const flat = planes.flat(2);
  const [low, high] = dtype === "uint8" ? [0, 255] : [Math.min(0, ...flat), Math.max(1e-6, ...flat)];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let place = 0; place < height * width; place += 1) {
    for (let colour = 0; colour < 3; colour += 1) {
      const plane = planes[Math.min(colour, planes.length - 1)];
      const value = plane[Math.floor(place / width)][place % width];
      pixels.data[4 * place + colour] = (255 * (value - low)) / (high - low);
    }
    pixels.data[4 * place + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}
