/** codec.mjs as a program of the suite's protocol (docs/subjects.md): --subject "cmd:node web/subject.mjs". */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as codec from "./codec.mjs";

const VERSION = "0.1.0";
const CAPABILITIES =
  "transforms entropy-float entropy-exact rans buffers decode encode reproducible roundtrip portable rejection kodak";
const MODELS = 4; // held at once

/**
 * @typedef {Float32Array | Int32Array | Uint8Array} Data
 * @typedef {{shape: number[], data: Data}} Value bytes are an array of one axis
 * @typedef {{[name: string]: any}} Arrays of these names (§14)
 * @typedef {{M: number, N: number, h: number, w: number, height: number, width: number, n: number}} Size
 */

/** @type {{[descr: string]: any}} */
const TYPES = { "<f4": Float32Array, "<i4": Int32Array, "|u1": Uint8Array };

/** @param {string} path of a .npy file, version 1, or of bytes @returns {Value} */
function load(path) {
  const bytes = new Uint8Array(readFileSync(path));
  if (!path.endsWith(".npy")) return { shape: [bytes.length], data: bytes };
  const start = 10 + bytes[8] + 256 * bytes[9];
  const header = new TextDecoder().decode(bytes.subarray(10, start));
  const found = /'descr': '(.*?)', 'fortran_order': False, 'shape': \((.*?),?\)/.exec(header);
  const Type = TYPES[found?.[1] ?? ""];
  if (bytes[6] !== 1 || !found || !Type) throw new TypeError(`${path}: ${header}`);
  const reordered = codec.littleEndian(new Type(bytes.slice(start).buffer)); // the way back is the same
  return { shape: JSON.parse(`[${found[2]}]`), data: new Type(reordered.buffer) };
}

/** @param {string} path @param {Value} value */
function save(path, { shape, data }) {
  if (path.endsWith(".bin")) return writeFileSync(path, data);
  const descr = Object.keys(TYPES).find((key) => data instanceof TYPES[key]);
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const magic = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8);
  return writeFileSync(path, Buffer.concat([magic, Buffer.from(header), codec.littleEndian(data)]));
}

/** @type {Map<string, codec.Model>} */
const models = new Map();
/** @param {string} file @param {string} gaussian @returns {codec.Model} */
function modelOf(file, gaussian) {
  const model = models.get(file) ?? codec.readModel(readFileSync(file), readFileSync(gaussian));
  models.delete(file);
  models.set(file, model); // the last one that was used is the last one of the map
  if (models.size > MODELS) models.delete([...models.keys()][0]);
  return model;
}

/** @type {(shapes: {[name: string]: number[]}) => Partial<Size>} what the shapes of some arrays tell */
const sizeOf = ({ x, y, y_hat = y, z_hat, k_z = z_hat, image, indexes }) => ({
  ...(x && { h: x[1] / 64, w: x[2] / 64 }),
  ...(y_hat && { M: y_hat[0], h: y_hat[1] / 4, w: y_hat[2] / 4 }),
  ...(k_z && { N: k_z[0], h: k_z[1], w: k_z[2] }),
  ...(image && { height: image[0], width: image[1] }),
  ...(indexes && { n: indexes[0] }),
});

/** @type {(name: string, size: Size) => number[]} the shape of an output */
function shapeOf(name, { M, N, h, w, height, width, n }) {
  if (name === "image") return [height, width, 3];
  if (name === "symbols") return [n];
  if (name === "x_hat") return [3, 64 * h, 64 * w];
  if (name.startsWith("z")) return [N, h, w];
  return [name === "psi" || name === "phi" ? 2 * M : M, 4 * h, 4 * w];
}

/** @param {codec.Model} model @param {codec.Latents} latents */
function shown(model, { height, width, y_hat }) {
  const image = codec.picture(model, y_hat, height, width);
  return { y_hat: Float32Array.from(y_hat, (v) => v / 2 ** 10), image, height, width };
}

/** @param {codec.Model} model @param {Arrays} arrays @param {Size} size */
const encoded = (model, { image }, { height, width }) => codec.encode(model, image, height, width);
/** @param {Arrays} arrays */
const tables = ({ cdf, length, offset }) => codec.tablesOf(cdf, length, offset);
const NOT_ASKED = { order: null, bitsY: null, bitsZ: null };

/**
 * The operations of §14. Beside its outputs an answer may have sizes that the inputs don't tell.
 * @type {{[operation: string]: (model: codec.Model, arrays: Arrays, size: Size) => any}}
 */
const OPERATIONS = {
  g_a: (model, { x }, { h, w }) => ({ y: codec.g_a(model, x, h, w) }),
  h_a: (model, { y }, { h, w }) => ({ z: codec.h_a(model, y, h, w) }),
  g_s: (model, { y_hat }, { h, w }) => ({ x_hat: codec.g_s(model, y_hat, h, w) }),
  parameters: (model, { z_hat, y_hat }, { h, w }) => codec.parameters(model, z_hat, y_hat, h, w),
  forward: (model, { x }, { h, w }) => codec.forward(model, x, h, w),
  gaussian_likelihoods: (_, { y, mu, sigma }) => ({ y_likelihoods: codec.gaussianLikelihoods(y, mu, sigma) }),
  factorized_likelihoods: (model, { z_hat }) => ({ z_likelihoods: codec.factorizedLikelihoods(model, z_hat) }),
  exact_parameters: (model, { k_z, y_hat }, { h, w }) => codec.exactParameters(model, k_z, y_hat, h, w),
  exact_symbols: (model, { k_z, y }, { h, w }) => ({ ...codec.exactSymbols(model, k_z, y, h, w), ...NOT_ASKED }),
  rans_encode: (_, { symbols, indexes, ...of }) => ({ stream: codec.ransEncode(symbols, indexes, tables(of)) }),
  rans_decode: (_, { stream, indexes, ...rest }) => ({ symbols: codec.ransDecode(stream, indexes, tables(rest)) }),
  pack_raw: (_, { y_hat, z_hat }, size) => ({ buffer: codec.packRaw(y_hat, z_hat, size) }),
  pack_zlib: async (_, { y_hat, z_hat }, size) => ({ buffer: await codec.packZlib(y_hat, z_hat, size) }),
  unpack_raw: (_, { buffer }) => codec.unpackRaw(buffer),
  unpack_zlib: (_, { buffer }) => codec.unpackZlib(buffer),
  decode: (model, { stream }) => shown(model, codec.decodeLatents(model, stream)),
  encode: (model, arrays, size) => ({ stream: encoded(model, arrays, size).stream }),
  encode_reproducible: (model, arrays, size) => ({ stream: encoded(model, arrays, size).stream }),
  decode_reproducible: (model, { stream }) => ({
    ...shown(model, codec.decodeLatents(model, stream)),
    y_hat: null,
  }),
  compress: (model, arrays, size) => ({ blob: encoded(model, arrays, size).stream }),
  decompress: (model, { blob }) => shown(model, codec.decodeLatents(model, blob)),
  reconstruct: (model, arrays, size) => shown(model, encoded(model, arrays, size)),
};

/** @param {any} request @returns {Promise<object>} the answer */
async function answer({ operation, model_file, gaussian_file, inputs, folder }) {
  if (!Object.hasOwn(OPERATIONS, operation)) return { unsupported: `no operation ${operation}` };
  /** @type {[string, Value][]} */
  const values = Object.entries(inputs).map(([name, path]) => [name, load(path)]);
  const arrays = Object.fromEntries(values.map(([name, { data }]) => [name, data]));
  const size = sizeOf(Object.fromEntries(values.map(([name, { shape }]) => [name, shape])));
  const model = model_file && modelOf(model_file, gaussian_file);
  const outputs = await OPERATIONS[operation](model, arrays, /** @type {Size} */ (size));
  const { height, width, ...whole } = { ...size, ...model, ...outputs };
  const blocks = height && { h: Math.ceil(height / 64), w: Math.ceil(width / 64) };
  /** @type {{[name: string]: string}} */
  const result = {};
  for (const [name, data] of Object.entries(outputs).filter(([, output]) => ArrayBuffer.isView(output))) {
    result[name] = name + (["stream", "blob", "buffer"].includes(name) ? ".bin" : ".npy");
    save(join(folder, result[name]), { shape: shapeOf(name, { height, width, ...whole, ...blocks }), data });
  }
  return { result };
}

/** @type {(error: Error) => object} */
const failed = (error) =>
  error instanceof codec.BitstreamError ? { rejected: error.kind } : { error: String(error.stack ?? error) };
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const hello = { protocol: 1, name: "mbtref-js", version: VERSION, capabilities: CAPABILITIES.split(" ") };
  const reply = request.hello ? hello : { id: request.id, ...(await answer(request).catch(failed)) };
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
