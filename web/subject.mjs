/**
 * codec.mjs as a program of the suite's protocol (docs/subjects.md, "In any other language"):
 *
 *     pytest conformance --subject "cmd:node web/subject.mjs"
 *
 * MBTREF_JS_KERNEL=plain takes the plain loops in place of WebAssembly.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as codec from "./codec.mjs";

const VERSION = "0.1.0";
const kernel = process.env.MBTREF_JS_KERNEL === "plain" ? codec.kernels.plain : undefined;
const MODELS = 4; // held at once

/** @typedef {{shape: number[], data: Float32Array | Int32Array | Uint8Array}} Value bytes are an array of one axis */
/** @typedef {{[name: string]: any}} Inputs */

/** @type {{[descr: string]: (bytes: Uint8Array) => Value["data"]}} */
const READ = {
  "<f4": (bytes) => Float32Array.from({ length: bytes.length / 4 }, (_, i) => view(bytes).getFloat32(4 * i, true)),
  "<i4": (bytes) => Int32Array.from({ length: bytes.length / 4 }, (_, i) => view(bytes).getInt32(4 * i, true)),
  "|u1": (bytes) => bytes,
};

/** @param {Uint8Array} bytes */
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {string} path of a .npy file or of other bytes @returns {Value} */
function load(path) {
  const bytes = new Uint8Array(readFileSync(path));
  if (!path.endsWith(".npy")) return { shape: [bytes.length], data: bytes };
  const start = bytes[6] === 1 ? 10 + view(bytes).getUint16(8, true) : 12 + view(bytes).getUint32(8, true);
  const header = new TextDecoder().decode(bytes.subarray(10, start));
  const descr = /'descr': '([^']*)'/.exec(header)?.[1] ?? "";
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1] ?? "";
  if (!(descr in READ) || !header.includes("'fortran_order': False")) throw new TypeError(`${path}: ${header}`);
  return { shape: shape.split(",").filter((n) => n.trim()).map(Number), data: READ[descr](bytes.subarray(start)) };
}

/** @param {string} path @param {Value} value */
function save(path, { shape, data }) {
  const descr = data instanceof Float32Array ? "<f4" : data instanceof Int32Array ? "<i4" : "|u1";
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.map((n) => `${n}, `).join("")}), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const magic = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8);
  writeFileSync(path, Buffer.concat([magic, Buffer.from(header), codec.littleEndian(data)]));
}

/** @type {Map<string, codec.Model>} */
const models = new Map();

/** @param {string} file @param {string} gaussian @returns {codec.Model} */
function model(file, gaussian) {
  const held = models.get(file) ?? codec.readModel(readFileSync(file), readFileSync(gaussian), kernel);
  models.delete(file);
  models.set(file, held); // the last one that was used is the last one of the map
  if (models.size > MODELS) models.delete([...models.keys()][0]);
  return held;
}

/** @param {codec.Model} m @param {codec.Latents} latents */
const yHat = (m, { height, width, y_hat }) => ({
  shape: [m.M, 4 * Math.ceil(height / 64), 4 * Math.ceil(width / 64)],
  data: Float32Array.from(y_hat, (v) => v / 2 ** 10),
});

/** @param {codec.Model} m @param {codec.Latents} latents */
const image = (m, { height, width, y_hat }) => ({
  shape: [height, width, 3],
  data: codec.picture(m, y_hat, height, width),
});

/** @param {codec.Model} m @param {Value} image */
const encoded = (m, { shape: [height, width], data }) =>
  codec.encode(m, /** @type {Uint8Array} */ (data), height, width);

/** @param {codec.Model} m @param {Uint8Array} stream */
function decoded(m, stream) {
  const latents = codec.decodeLatents(m, stream);
  return { y_hat: yHat(m, latents), image: image(m, latents) };
}

/** @param {codec.Model} m @param {number} h @param {number} w @param {{[name: string]: Value["data"]}} arrays */
function shaped(m, h, w, arrays) {
  /** @param {string} name */
  const shape = (name) => {
    if (name === "x_hat") return [3, 64 * h, 64 * w];
    if (name.startsWith("z")) return [m.N, h, w];
    return [name === "psi" || name === "phi" ? 2 * m.M : m.M, 4 * h, 4 * w];
  };
  return Object.fromEntries(Object.entries(arrays).map(([name, data]) => [name, { shape: shape(name), data }]));
}

/** @param {Inputs} inputs */
const tables = ({ cdf, length, offset }) => ({ cdf: cdf.data, length: length.data, offset: offset.data });

/** @param {Uint8Array} data */
const bytes = (data) => ({ shape: [data.length], data });

/** @param {Inputs} inputs @returns {[Float32Array, Float32Array, {M: number, N: number, h: number, w: number}]} */
const buffered = ({ y_hat, z_hat }) => [
  y_hat.data,
  z_hat.data,
  { M: y_hat.shape[0], N: z_hat.shape[0], h: z_hat.shape[1], w: z_hat.shape[2] },
];

/** @param {ReturnType<typeof codec.unpackRaw>} buffer */
const unbuffered = ({ y_hat, z, M, N, h, w }) => ({
  y_hat: { shape: [M, 4 * h, 4 * w], data: y_hat },
  z: { shape: [N, h, w], data: z },
});

/** @param {codec.Model} m @param {Inputs} inputs */
const decode = (m, { stream, blob }) => decoded(m, (stream ?? blob).data);

/** @type {{[operation: string]: (m: codec.Model, inputs: Inputs) => any}} §14 */
const OPERATIONS = {
  g_a: (m, { x: { shape: [, H, W], data } }) => shaped(m, H / 64, W / 64, { y: codec.g_a(m, data, H / 64, W / 64) }),
  h_a: (m, { y: { shape: [, H, W], data } }) => shaped(m, H / 4, W / 4, { z: codec.h_a(m, data, H / 4, W / 4) }),
  g_s: (m, { y_hat: { shape: [, H, W], data } }) =>
    shaped(m, H / 4, W / 4, { x_hat: codec.g_s(m, data, H / 4, W / 4) }),
  parameters: (m, { z_hat: { shape: [, h, w], data }, y_hat }) =>
    shaped(m, h, w, codec.parameters(m, data, y_hat.data, h, w)),
  forward: (m, { x: { shape: [, H, W], data } }) =>
    shaped(m, H / 64, W / 64, codec.forward(m, data, H / 64, W / 64)),
  gaussian_likelihoods: (_, { y, mu, sigma }) => ({
    y_likelihoods: { shape: y.shape, data: codec.gaussianLikelihoods(y.data, mu.data, sigma.data) },
  }),
  factorized_likelihoods: (m, { z_hat: { shape, data } }) => ({
    z_likelihoods: { shape, data: codec.factorizedLikelihoods(m, data) },
  }),
  exact_parameters: (m, { k_z: { shape: [, h, w], data }, y_hat }) =>
    shaped(m, h, w, codec.exactParameters(m, data, y_hat.data, h, w)),
  exact_symbols: (m, { k_z: { shape: [, h, w], data }, y }) => {
    const { mu, index, k, y_hat } = codec.exactSymbols(m, data, y.data, h, w);
    return shaped(m, h, w, { mu, index, k, y_hat });
  },
  rans_encode: (_, { symbols, indexes, ...arrays }) => ({
    stream: bytes(codec.ransEncode(symbols.data, indexes.data, tables(arrays))),
  }),
  rans_decode: (_, { stream, indexes, ...arrays }) => ({
    symbols: { shape: indexes.shape, data: codec.ransDecode(stream.data, indexes.data, tables(arrays)) },
  }),
  pack_raw: (_, inputs) => ({ buffer: bytes(codec.packRaw(...buffered(inputs))) }),
  pack_zlib: async (_, inputs) => ({ buffer: bytes(await codec.packZlib(...buffered(inputs))) }),
  unpack_raw: (_, { buffer }) => unbuffered(codec.unpackRaw(buffer.data)),
  unpack_zlib: (_, { buffer }) => unbuffered(codec.unpackZlib(buffer.data)),
  decode,
  encode: (m, { image }) => ({ stream: bytes(encoded(m, image).stream) }),
  encode_reproducible: (m, { image }) => ({ stream: bytes(encoded(m, image).stream) }),
  decode_reproducible: (m, { stream }) => ({ image: decoded(m, stream.data).image }),
  compress: (m, { image }) => ({ blob: bytes(encoded(m, image).stream) }),
  decompress: decode,
  reconstruct: (m, { image: original }) => {
    const latents = encoded(m, original);
    return { y_hat: yHat(m, latents), image: image(m, latents) };
  },
};

const CAPABILITIES =
  "transforms entropy-float entropy-exact rans buffers decode encode reproducible roundtrip portable rejection kodak";

/** @param {any} request @returns {Promise<object>} the answer */
async function answer({ operation, model_file, gaussian_file, inputs, folder }) {
  if (!(operation in OPERATIONS)) return { unsupported: `no operation ${operation}` };
  const arrays = Object.fromEntries(Object.entries(inputs).map(([key, path]) => [key, load(path)]));
  const m = model_file ? model(model_file, gaussian_file) : /** @type {codec.Model} */ (/** @type {unknown} */ (null));
  /** @type {[string, Value][]} */
  const outputs = Object.entries(await OPERATIONS[operation](m, arrays));
  const result = outputs.map(([key, value]) => {
    const file = key + (["stream", "blob", "buffer"].includes(key) ? ".bin" : ".npy");
    if (file.endsWith(".bin")) writeFileSync(join(folder, file), value.data);
    else save(join(folder, file), value);
    return [key, file];
  });
  return { result: Object.fromEntries(result) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const reply = request.hello
    ? { protocol: 1, name: "mbtref-js", version: VERSION, capabilities: CAPABILITIES.split(" ") }
    : await answer(request).catch((error) =>
        error instanceof codec.BitstreamError ? { rejected: error.kind } : { error: String(error?.stack ?? error) },
      );
  process.stdout.write(`${JSON.stringify({ ...(request.hello ? {} : { id: request.id }), ...reply })}\n`);
}
