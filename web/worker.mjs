/**
 * The work of the page, in a thread of its own: decodes streams, encodes pictures, reads models. One job at a time; each
 * message holds all that a job needs, so the page may end this thread at any moment and start another.
 */
import * as codec from "./codec.mjs";

/**
 * The largest picture: 2^24 pixels are the largest canvas of Safari on phones, and take 0.7 GB here. A side of 2^15 - 1
 * is the longest of Firefox. The format has twice as many pixels; `mbtref decode` takes them all.
 */
const LARGEST = { pixels: 2 ** 24, side: 2 ** 15 - 1 };

/**
 * @typedef {{name: string, bytes: number, source: string | Blob}} Shelved a model that isn't read yet
 * @typedef {{[fingerprint: string]: Shelved}} Shelf
 * @typedef {{task: "decode" | "encode" | "model", file: Blob, shelf: Shelf, fingerprint?: string, height?: number,
 *   width?: number}} Job
 * @typedef {{found: string, golden: string | null | undefined}} Digest a SHA-256 and the golden one
 */

/** Tells the page something. */
const tell = (/** @type {object} */ news) => postMessage(news);

/** A refusal in the page's own words. */
class Refusal extends Error {
  /** @param {string} kind @param {string} message */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Adds up the time of each part, and tells how far it is, twenty times a second at most. */
class Clock {
  /** @type {{[part: string]: number}} in milliseconds */
  times = {};
  #told = /** @type {{[part: string]: number}} */ ({});
  #last = performance.now();

  /** The work since the last call was that of a part. @param {string} part @param {number} share done, 0 to 1 */
  watch = (part, share) => {
    const now = performance.now();
    this.times[part] = (this.times[part] ?? 0) + now - this.#last;
    this.#last = now;
    if (share < 1 && now - (this.#told[part] ?? 0) < 50) return;
    this.#told[part] = now;
    tell({ part, share, time: this.times[part] });
  };
}

/**
 * Reads a file of the page, or one that was dropped.
 * @param {Shelved} file
 * @param {(share: number) => void} watch
 */
async function read({ source, bytes }, watch) {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const answer = await fetch(source);
  if (!answer.ok || !answer.body) throw new Error(`${source} isn't beside the page: the server says ${answer.status}`);
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > bytes) throw new Error(`${source} isn't the file of ${bytes} bytes that belongs here`);
    whole.set(value, at);
    at += value.length;
    watch(at / bytes);
  }
  return whole.subarray(0, at);
}

/** @type {Map<string, codec.Model>} the models that were read, by fingerprint */
const models = new Map();
/** @type {Promise<Uint8Array> | undefined} */
let gaussian;
/** @type {Promise<{[stream: string]: {id: string, latents: string, pixels?: string}}> | undefined} */
let golden;

/** @param {string} url of a small file beside the page */
const whole = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} isn't beside the page: the server says ${answer.status}`);
  return answer;
};

/** @param {Shelved} file @param {Clock} clock */
async function readModel(file, clock) {
  gaussian ??= whole("models/gaussian.safetensors").then(async (answer) => new Uint8Array(await answer.arrayBuffer()));
  const bytes = await read(file, (share) => clock.watch("model", 0.9 * share));
  const model = codec.readModel(bytes, await gaussian);
  models.set(model.fingerprint, model);
  clock.watch("model", 1);
  return model;
}

/** @param {string} fingerprint @param {Shelf} shelf @param {Clock} clock */
async function modelOf(fingerprint, shelf, clock) {
  const known = models.get(fingerprint);
  if (known) return known;
  const file = shelf[fingerprint];
  if (!file) throw new codec.BitstreamError("unknown-model", 4, `the stream's model is ${fingerprint}`);
  const model = await readModel(file, clock);
  if (model.fingerprint !== fingerprint) throw new Error(`${file.name} is another file than it should be`);
  return model;
}

/** Refuses what can't be held, before any work. @param {number} height @param {number} width */
function checkSize(height, width) {
  const side = Math.max(height, width);
  if (height * width <= LARGEST.pixels && side <= LARGEST.side) return;
  const [found, most, unit] =
    side > LARGEST.side ? [side, LARGEST.side, "pixels a side"] : [height * width, LARGEST.pixels, "pixels"];
  const [has, holds] = [found, most].map((n) => n.toLocaleString("en"));
  throw new Refusal("page-limit", `The picture is ${width} × ${height}: ${has} ${unit}. This page holds ${holds}.`);
}

/** @param {Uint8Array} pixels (H, W, 3) @param {number} height @param {number} width */
function canvasOf(pixels, height, width) {
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    rgba[to] = pixels[from];
    rgba[to + 1] = pixels[from + 1];
    rgba[to + 2] = pixels[from + 2];
  }
  const canvas = new OffscreenCanvas(width, height);
  contextOf(canvas).putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}

/** @param {OffscreenCanvas} canvas */
const contextOf = (canvas) =>
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/**
 * The samples of a picture file. A colour profile is applied, as `mbtref encode` does it; without one the samples are
 * those of the file. The camera's orientation is applied. What is transparent lies on white.
 * @param {Blob} file
 */
async function pixelsOf(file) {
  const start = new TextDecoder("latin1").decode(await file.slice(0, 2 ** 18).arrayBuffer());
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: /ICC_PROFILE\0|iCCP|ICCP|colrprof/.test(start) ? "default" : "none",
    premultiplyAlpha: "none",
  });
  const { height, width } = bitmap;
  const context = contextOf(new OffscreenCanvas(width, height));
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(height * width * 3);
  let transparent = false;
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3];
    transparent ||= alpha < 255;
    for (let c = 0; c < 3; c++) pixels[to + c] = Math.round(255 + (data[from + c] - 255) * (alpha / 255));
  }
  return { pixels, height, width, transparent };
}

/** Whether a canvas gives back what was painted: some browsers alter it, so that pages can't recognise a machine. */
function canvasIsExact() {
  const samples = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 37) % 256);
  const { data } = contextOf(canvasOf(samples, 16, 16)).getImageData(0, 0, 16, 16);
  return samples.every((sample, i) => sample === data[4 * Math.floor(i / 3) + (i % 3)]);
}

/** PSNR of RGB in dB (§14 of the specification). @param {Uint8Array} a @param {Uint8Array} b */
function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return -10 * Math.log10(sum / a.length / 255 ** 2);
}

const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map((colour) =>
  [0, 2, 4].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)),
);

/**
 * The bits per pixel of each block of 16×16 pixels, y's and its share of z's, as a picture of one pixel a block; and
 * the means of the nine parts of the picture, row by row, if it has so many.
 * @param {codec.Latents} latents
 */
async function mapOf({ height, width, bitsY, bitsZ }) {
  const [rows, columns] = [Math.ceil(height / 16), Math.ceil(width / 16)];
  const [across, acrossZ] = [4 * Math.ceil(width / 64), Math.ceil(width / 64)];
  const density = new Float64Array(rows * columns);
  const sums = new Float64Array(9);
  const counts = new Float64Array(9);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const z = bitsZ[Math.floor(i / 4) * acrossZ + Math.floor(j / 4)];
      density[i * columns + j] = bitsY[i * across + j] / 256 + z / 4096;
      const part = 3 * Math.floor((3 * i) / rows) + Math.floor((3 * j) / columns);
      sums[part] += density[i * columns + j];
      counts[part]++;
    }
  }
  const most = density.reduce((a, b) => Math.max(a, b));
  const pixels = new Uint8Array(density.length * 3);
  density.forEach((value, i) => {
    const place = (value / (most || 1)) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
    for (let c = 0; c < 3; c++) {
      pixels[3 * i + c] = Math.round(VIRIDIS[low][c] + (place - low) * (VIRIDIS[low + 1][c] - VIRIDIS[low][c]));
    }
  });
  const blob = await canvasOf(pixels, rows, columns).convertToBlob();
  const colours = VIRIDIS.map((colour) => `rgb(${colour})`);
  return { blob, colours, most, columns, parts: Math.min(rows, columns) < 3 ? [] : Array.from(sums, (sum, i) => sum / counts[i]) };
}

/**
 * What the page shows of a stream and its latents.
 * @param {codec.Model} model @param {Uint8Array<ArrayBuffer>} stream @param {codec.Latents} latents @param {Clock} clock
 */
async function shown(model, stream, latents, clock) {
  const { height, width, y_hat } = latents;
  const pixels = codec.picture(model, y_hat, height, width, clock.watch);
  golden ??= whole("golden.json").then((answer) => answer.json());
  const due = (await golden)[codec.sha256(stream)];
  const digests = {
    latents: { found: codec.sha256(codec.littleEndian(y_hat)), golden: due?.latents },
    pixels: { found: codec.sha256(pixels), golden: due?.pixels },
  };
  clock.watch("hashes", 1);
  const png = await canvasOf(pixels, height, width).convertToBlob();
  const map = await mapOf(latents);
  const exact = canvasIsExact();
  clock.watch("png", 1);
  const [bytes, file] = [stream.length, new Blob([stream])];
  const made = { height, width, bytes, file, fingerprint: model.fingerprint, id: due?.id, digests, png, map, exact };
  return { pixels, made };
}

/** @param {Job} job @param {Clock} clock */
async function decode({ file, shelf }, clock) {
  const stream = new Uint8Array(await file.arrayBuffer());
  const { height, width, fingerprint } = codec.parse(stream);
  checkSize(height, width);
  const model = await modelOf(fingerprint, shelf, clock);
  const { made } = await shown(model, stream, codec.decodeLatents(model, stream, clock.watch), clock);
  return made;
}

/** @param {Job} job @param {Clock} clock */
async function encode({ file, shelf, fingerprint = "", height = 0, width = 0 }, clock) {
  checkSize(height, width);
  const original = await pixelsOf(file);
  clock.watch("pixels", 1);
  const model = await modelOf(fingerprint, shelf, clock);
  const { stream, ...latents } = codec.encode(model, original.pixels, original.height, original.width, clock.watch);
  const { pixels, made } = await shown(model, /** @type {Uint8Array<ArrayBuffer>} */ (stream), latents, clock);
  const jpeg = await asJpeg(original, stream.length, clock);
  return { ...made, psnr: psnr(original.pixels, pixels), transparent: original.transparent, jpeg };
}

/**
 * The browser's JPEG of the best quality that has no more bytes than the stream; the smallest one if none has.
 * @param {{pixels: Uint8Array, height: number, width: number}} original @param {number} bytes @param {Clock} clock
 */
async function asJpeg({ pixels, height, width }, bytes, clock) {
  const canvas = canvasOf(pixels, height, width);
  const at = (/** @type {number} */ quality) => canvas.convertToBlob({ type: "image/jpeg", quality: quality / 100 });
  let [low, high, blob] = [0, 101, await at(0)];
  if (blob.type !== "image/jpeg") return null;
  for (let step = 1; high - low > 1; step++) {
    const middle = Math.floor((low + high) / 2);
    const tried = await at(middle);
    if (tried.size > bytes) high = middle;
    else [low, blob] = [middle, tried];
    clock.watch("jpeg", Math.min(step / 8, 0.9));
  }
  const decoded = await pixelsOf(blob);
  clock.watch("jpeg", 1);
  return { blob, quality: low, psnr: psnr(pixels, decoded.pixels) };
}

/** @param {Job} job @param {Clock} clock */
async function model({ file }, clock) {
  try {
    const { fingerprint, N, M } = await readModel({ name: "", bytes: file.size, source: file }, clock);
    return { fingerprint, N, M };
  } catch (error) {
    throw new Refusal("not-a-model", `It has no networks of mbt2018: ${/** @type {Error} */ (error).message}`);
  }
}

const TASKS = { decode, encode, model };

addEventListener("message", async ({ data: job }) => {
  const clock = new Clock();
  try {
    const done = await TASKS[/** @type {Job} */ (job).task](job, clock);
    tell({ done, times: clock.times });
  } catch (error) {
    const { name, kind = name, offset, message } = /** @type {codec.BitstreamError} */ (error);
    tell({ refused: { kind, offset, message } });
  }
});
