/**
 * The work of the page, in a thread of its own: decodes streams, encodes pictures, reads models. One job at a time; each
 * message holds all that a job needs, so the page may end this thread at any moment and start another.
 */
import * as codec from "./codec.mjs";

/**
 * The largest picture: 2^24 pixels are the largest canvas of Safari on phones, and take 0.7 GB here. A side of 2^15 - 1
 * is the longest of Firefox. The format has twice as many pixels; `mbtref decode` takes them all. The largest published
 * model has half as many bytes.
 * @type {{[of: string]: number}}
 */
const LARGEST = { pixels: 2 ** 24, side: 2 ** 15 - 1, bytes: 2 ** 28 };

/**
 * @typedef {{name: string, about?: string, bytes: number, source: string | Blob}} Shelved a model, not read yet
 * @typedef {{[fingerprint: string]: Shelved}} Shelf
 * @typedef {{task: "decode" | "encode" | "model", file: Blob, shelf: Shelf, fingerprint?: string, height?: number,
 *   width?: number}} Job
 * @typedef {[pixels: Uint8Array, height: number, width: number]} Picture pixels: (H, W, 3)
 * @typedef {{found: string, golden?: string}} Digest a SHA-256 and the golden one
 */

/** What is refused for the page's own reasons. @param {string} kind @param {string} message */
const refusal = (kind, message) => Object.assign(new Error(message), { kind });

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
    postMessage({ part, share, time: this.times[part] });
  };
}

/**
 * Reads a file beside the page, or one that was dropped.
 * @param {string | Blob} source
 * @param {(bytes: number) => void} watch hears how many are there
 */
async function read(source, watch = () => {}) {
  const answer = source instanceof Blob ? new Response(source) : await fetch(source);
  if (!answer.ok) throw new Error(`${source} isn't beside the page: the server says ${answer.status}`);
  const chunks = [];
  let bytes = 0;
  for (const reader = /** @type {ReadableStream} */ (answer.body).getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer());
    chunks.push(value);
    bytes += value.length;
    watch(bytes);
  }
}

const HELD = 4;
/** @type {Map<string, codec.Model>} the last HELD models, by fingerprint */
const models = new Map();
/** @type {Uint8Array | undefined} */
let gaussian;
/** @type {{[stream: string]: {id: string, latents?: string, pixels?: string}} | undefined} by SHA-256 */
let golden;

/** @param {Shelved} file @param {Clock} clock */
async function readModel({ source, bytes }, clock) {
  gaussian ??= await read("models/gaussian.safetensors");
  const file = await read(source, (count) => clock.watch("model", (0.9 * count) / bytes));
  const model = codec.readModel(file, gaussian);
  models.set(model.fingerprint, model);
  if (models.size > HELD) models.delete([...models.keys()][0]);
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

/** Refuses what can't be held, before any work. @param {{[of: string]: number}} sizes some of those of LARGEST */
function checkSize(sizes) {
  for (const [of, size] of Object.entries(sizes)) {
    const [has, holds] = [size, LARGEST[of]].map((n) => n.toLocaleString("en"));
    const message = `It has ${has} ${of === "side" ? "pixels on a side" : of}, and this page holds ${holds}.`;
    if (size > LARGEST[of]) throw refusal("page-limit", message);
  }
}

/** @param {number} height @param {number} width */
const checkPicture = (height, width) => checkSize({ side: Math.max(height, width), pixels: height * width });

/** @param {Picture} picture */
function canvasOf(...[pixels, height, width]) {
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    rgba[to] = pixels[from];
    rgba[to + 1] = pixels[from + 1];
    rgba[to + 2] = pixels[from + 2];
  }
  const canvas = new OffscreenCanvas(width, height);
  contextOf(canvas, false).putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}

/** @param {OffscreenCanvas} canvas @param {boolean} alpha */
const contextOf = (canvas, alpha) =>
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha, willReadFrequently: true }));

/**
 * The samples of a picture file. A colour profile is applied, as `mbtref encode` does it; without one the samples are
 * those of the file. The camera's orientation is applied. What is transparent lies on white.
 * @param {Blob} file
 */
async function pixelsOf(file) {
  const start = new TextDecoder("latin1").decode(await file.slice(0, 2 ** 18).arrayBuffer());
  const colorSpaceConversion = /ICC_PROFILE\0|iCCP|ICCP|colrprof/.test(start) ? "default" : "none";
  const bitmap = await createImageBitmap(file, { colorSpaceConversion, premultiplyAlpha: "none" }).catch(() => {
    throw refusal("not-a-picture", "Its pixels can't be decoded: it may be damaged, or an SVG drawing.");
  });
  const { height, width } = bitmap;
  const context = contextOf(new OffscreenCanvas(width, height), true);
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
  return { picture: /** @type {Picture} */ ([pixels, height, width]), transparent };
}

/** Whether a canvas gives back what was painted: some browsers alter it, so that pages can't recognise a machine. */
function canvasIsExact() {
  const samples = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 37) % 256);
  const { data } = contextOf(canvasOf(samples, 16, 16), false).getImageData(0, 0, 16, 16);
  return samples.every((sample, i) => sample === data[4 * Math.floor(i / 3) + (i % 3)]);
}

/** PSNR of RGB in dB (§14 of the specification). @param {Uint8Array} a @param {Uint8Array} b */
function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return -10 * Math.log10(sum / a.length / 255 ** 2);
}

const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map(
  (colour) => [0, 2, 4].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)),
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
  const parts = new Float64Array(9);
  const counts = new Float64Array(9);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const z = bitsZ[Math.floor(i / 4) * acrossZ + Math.floor(j / 4)];
      const bits = bitsY[i * across + j] / 256 + z / 4096;
      const part = 3 * Math.floor((3 * i) / rows) + Math.floor((3 * j) / columns);
      density[i * columns + j] = bits;
      parts[part] += (bits - parts[part]) / ++counts[part];
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
  return { blob, colours, most, columns, parts: Math.min(rows, columns) < 3 ? [] : [...parts] };
}

/**
 * What the page shows of a stream and its latents.
 * @param {codec.Model} model @param {Uint8Array<ArrayBuffer>} stream @param {codec.Latents} latents
 * @param {Clock} clock
 */
async function shown(model, stream, latents, clock) {
  const { height, width, y_hat } = latents;
  const pixels = codec.picture(model, y_hat, height, width, clock.watch);
  golden ??= JSON.parse(new TextDecoder().decode(await read("golden.json")));
  const due = golden?.[codec.sha256(stream)];
  const digests = {
    latents: { found: codec.sha256(codec.littleEndian(y_hat)), golden: due?.latents },
    pixels: { found: codec.sha256(pixels), golden: due?.pixels },
  };
  clock.watch("hashes", 1);
  const png = await canvasOf(pixels, height, width).convertToBlob();
  const map = await mapOf(latents);
  clock.watch("png", 1);
  const about = { height, width, bytes: stream.length, file: new Blob([stream]), fingerprint: model.fingerprint };
  const made = { ...about, id: due?.id, digests, png, map, exact: canvasIsExact() };
  return { pixels, made };
}

/** @param {Job} job @param {Clock} clock */
async function decode({ file, shelf }, clock) {
  const stream = await read(file);
  const { height, width, fingerprint } = codec.parse(stream);
  checkPicture(height, width);
  const model = await modelOf(fingerprint, shelf, clock);
  const { made } = await shown(model, stream, codec.decodeLatents(model, stream, clock.watch), clock);
  return made;
}

/** @param {Job} job @param {Clock} clock */
async function encode({ file, shelf, fingerprint = "", height = 0, width = 0 }, clock) {
  checkPicture(height, width);
  const original = await pixelsOf(file);
  clock.watch("pixels", 1);
  const model = await modelOf(fingerprint, shelf, clock);
  const { stream, ...latents } = codec.encode(model, ...original.picture, clock.watch);
  const { pixels, made } = await shown(model, stream, latents, clock);
  const jpeg = await asJpeg(original.picture, stream.length, clock);
  return { ...made, psnr: psnr(original.picture[0], pixels), transparent: original.transparent, jpeg };
}

/**
 * The browser's JPEG of the best quality that has no more bytes than the stream; the smallest one if none has.
 * @param {Picture} picture @param {number} bytes @param {Clock} clock
 */
async function asJpeg(picture, bytes, clock) {
  const canvas = canvasOf(...picture);
  const at = (/** @type {number} */ n) => canvas.convertToBlob({ type: "image/jpeg", quality: n / 100 });
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
  return { blob, quality: low, psnr: psnr(picture[0], decoded.picture[0]) };
}

/** A model that is whole, and codes a picture. @param {Job} job @param {Clock} clock */
async function model({ file }, clock) {
  try {
    const model = await readModel({ name: "", bytes: file.size, source: file }, clock);
    for (const { shape, values } of Object.values(model.tensors))
      if (values.length !== shape.reduce((a, b) => a * b, 1)) throw new Error();
    codec.picture(model, codec.encode(model, new Uint8Array(3), 1, 1).y_hat, 1, 1);
    return { fingerprint: model.fingerprint, N: model.N, M: model.M };
  } catch {
    throw refusal("not-a-model", "It isn't a whole safetensors file with the networks of mbt2018.");
  }
}

const TASKS = { decode, encode, model };

addEventListener("message", async ({ data: job }) => {
  const clock = new Clock();
  try {
    checkSize({ bytes: job.file.size });
    const done = await TASKS[/** @type {Job} */ (job).task](job, clock);
    postMessage({ done, times: clock.times });
  } catch (error) {
    const { name, kind = name, offset, message } = /** @type {codec.BitstreamError} */ (error);
    postMessage({ refused: { kind, offset, message } });
  }
});
