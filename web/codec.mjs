/**
 * A codec of mbt2018 streams (`.mbt`, version 1) for Node and browsers, written from docs/specification.md alone.
 * Read it beside that page: each heading below names its section (§), and each formula stands above its line.
 *
 * All arithmetic is of float64 numbers: of whole ones below 2^53 in the entropy path (§2), where no sum is rounded, and
 * of any in the transforms, so that bytes and pixels are the reproducible ones (§10).
 *
 * Arrays that come in or go out are typed arrays in C order; a shape such as (M, 4h, 4w) stands in their comment.
 * Inside, a picture or a tensor is *rows*: a function that gives one row, channels last, with a border of two columns
 * of zeros on either side. A layer asks the rows that it needs of the layer before it, and keeps only the last few. So
 * memory grows with the width of a picture and not with its area, and no value is computed twice.
 */

/**
 * @typedef {(row: number) => Float64Array} Rows a row of a tensor: (columns + 4, channels), with columns of zeros 0, 1
 *   and the last two; outside of the tensor a row of zeros. Rows are asked from the top down, at most five apart.
 * @typedef {(part: string, share: number) => void} Watch hears that the work since its last call was that of `part`,
 *   "g_a", "h_a", "h_s", "latents" or "g_s", and that this part is now done to `share`, 0 to 1.
 * @typedef {{shape: number[], values: Float32Array | Int32Array}} Tensor
 * @typedef {{cdf: Int32Array, length: Int32Array, offset: Int32Array}} Tables §4: cdf (T, L), length (T), offset (T)
 * @typedef {{height: number, width: number, y_hat: Int32Array, bitsY: Float64Array, bitsZ: Float64Array}} Latents
 *   height and width of the picture in pixels; y_hat (M, 4h, 4w) in units of 2^-10; bitsY (4h, 4w) and bitsZ (h, w):
 *   bits that the symbols of all channels cost at a position
 * @typedef {{[name: string]: Float32Array}} Arrays
 * @typedef {ReturnType<typeof readModel>} Model
 */

const PIXELS = 2 ** 25; // §6
const LOW = -(2 ** 22); // §2: the least and the largest activation
const HIGH = 2 ** 22 - 1;

/** Bytes that break a rule of the format. */
export class BitstreamError extends Error {
  /**
   * @param {string} kind the kind of §7 or §8
   * @param {number} offset the byte at which it was met, for people
   * @param {string} message
   */
  constructor(kind, offset, message) {
    super(`${kind} at byte ${offset}: ${message}`);
    this.name = "BitstreamError";
    this.kind = kind;
    this.offset = offset;
  }
}

// ---- Bytes, SHA-256, CRC-32 --------------------------------------------------------------------------------------

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Turns the bytes of values around, in place, on a machine that isn't little-endian.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {number} size bytes of a value
 */
function reorder(bytes, size) {
  for (let at = 0; !isLittleEndian && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  return bytes;
}

/**
 * The bytes of a typed array in little-endian order, on any machine.
 * @param {Int16Array | Int32Array | Uint8Array | Float32Array | Float64Array} array
 * @returns {Uint8Array<ArrayBuffer>} a copy
 */
export function littleEndian(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength).slice();
  return reorder(bytes, array.BYTES_PER_ELEMENT);
}

/** @param {Uint8Array} bytes little-endian @returns {ArrayBuffer} a copy in the order of this machine */
const values = (bytes, size = 4) => reorder(new Uint8Array(bytes), size).buffer;

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * The constants of SHA-256: 32 bits of the fractional parts of roots of the first primes. float64 has 52 of them.
 * @param {number} count
 * @param {(prime: number) => number} root
 */
function fractions(count, root) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return Int32Array.from(primes, (prime) => Math.floor((root(prime) % 1) * 2 ** 32));
}

/** @param {number} prime a cube root by Newton's method: + * / alone, so the same on every machine */
function cubeRoot(prime) {
  let root = prime;
  for (let i = 0; i < 60; i++) root = (2 * root + prime / (root * root)) / 3;
  return root;
}

/**
 * SHA-256 (FIPS 180-4). Browsers have one of their own only for pages that come over https.
 * @param {Uint8Array} bytes
 * @returns {string} 64 hexadecimal digits
 */
export function sha256(bytes) {
  const rounds = fractions(64, cubeRoot);
  const hash = fractions(8, Math.sqrt);
  const whole = bytes.length - (bytes.length % 64);
  const end = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  end.set(bytes.subarray(whole));
  end[bytes.length - whole] = 0x80;
  viewOf(end).setUint32(end.length - 8, Math.floor(bytes.length / 2 ** 29));
  viewOf(end).setUint32(end.length - 4, (bytes.length * 8) % 2 ** 32);
  const w = new Int32Array(64);
  for (const [part, length] of /** @type {[Uint8Array, number][]} */ ([[bytes, whole], [end, end.length]])) {
    const view = viewOf(part);
    for (let block = 0; block < length; block += 64) {
      for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
      for (let i = 16; i < 64; i++) {
        const [a, b] = [w[i - 15], w[i - 2]];
        const s0 = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
        const s1 = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
      }
      compress(hash, w, rounds);
    }
  }
  return Array.from(hash, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/**
 * One block of SHA-256.
 * @param {Int32Array} hash (8)
 * @param {Int32Array} w (64)
 * @param {Int32Array} rounds (64)
 */
function compress(hash, w, rounds) {
  let [a, b, c, d, e, f, g, h] = hash;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  hash[0] += a;
  hash[1] += b;
  hash[2] += c;
  hash[3] += d;
  hash[4] += e;
  hash[5] += f;
  hash[6] += g;
  hash[7] += h;
}

const CRC_OF_BYTE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 * (crc & 1));
  return crc;
});

/** @param {Uint8Array[]} parts @returns {number} the CRC-32 of §6 of the bytes of all parts, one after the other */
function crc32(...parts) {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = CRC_OF_BYTE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// ---- Kernels: the one loop that takes the time --------------------------------------------------------------------

/**
 * A heap holds the weights of a network and the operands of a product. `multiply` computes
 *
 *     out[p, c] = bias[c] + Σ_i patches[p, i] · weights[i, c]          the sum from i = 0 upwards, each step rounded
 *
 * for p < n. n and the number of outputs are multiples of 4. Weights come in panels of four outputs: (outputs / 4,
 * length, 4). Places are indexes of the heap. Both kernels add in the same order: their results are equal in every bit.
 *
 * @typedef {(patches: number, n: number, length: number, weights: number, outputs: number, bias: number,
 *   out: number) => void} Multiply
 * @typedef {(size: number) => {heap: Float64Array, multiply: Multiply}} Kernel makes a heap of `size` numbers
 */

/** @type {Kernel} */
function plain(size) {
  const heap = new Float64Array(size);
  return {
    heap,
    multiply(patches, n, length, weights, outputs, bias, out) {
      for (let p = 0; p < n; p += 2) {
        for (let c = 0; c < outputs; c += 4) {
          let [s0, s1, s2, s3] = [heap[bias + c], heap[bias + c + 1], heap[bias + c + 2], heap[bias + c + 3]];
          let [t0, t1, t2, t3] = [s0, s1, s2, s3];
          let w = weights + c * length;
          const end = patches + (p + 1) * length;
          for (let i = end - length; i < end; i++, w += 4) {
            const a = heap[i];
            const b = heap[i + length];
            s0 += a * heap[w];
            s1 += a * heap[w + 1];
            s2 += a * heap[w + 2];
            s3 += a * heap[w + 3];
            t0 += b * heap[w];
            t1 += b * heap[w + 1];
            t2 += b * heap[w + 2];
            t3 += b * heap[w + 3];
          }
          const o = out + p * outputs + c;
          heap[o] = s0;
          heap[o + 1] = s1;
          heap[o + 2] = s2;
          heap[o + 3] = s3;
          heap[o + outputs] = t0;
          heap[o + outputs + 1] = t1;
          heap[o + outputs + 2] = t2;
          heap[o + outputs + 3] = t3;
        }
      }
    },
  };
}

/**
 * The same loop in WebAssembly, two numbers at a time, for four positions and four outputs at once. Each number is
 * still one product and one sum after the other. All places are in bytes.
 * @returns {Uint8Array<ArrayBuffer>} the module
 */
function assembled() {
  const [I32, V128] = [0x7f, 0x7b];
  const parameters = ["patches", "n", "length", "weights", "outputs", "bias", "out"];
  const integers = ["w", "c", "o", "end", "a0", "a1", "a2", "a3", "row"];
  const vectors = ["s0", "s1", "s2", "s3", "t0", "t1", "t2", "t3", "w0", "w1", "x"];
  const locals = [...parameters, ...integers, ...vectors];
  /** @param {number} n @returns {number[]} LEB128, unsigned */
  const leb = (n) => (n < 128 ? [n] : [(n % 128) + 128, ...leb(Math.floor(n / 128))]);
  const get = (/** @type {string} */ name) => [0x20, locals.indexOf(name)];
  const set = (/** @type {string} */ name, /** @type {number[]} */ value) => [...value, 0x21, locals.indexOf(name)];
  const constant = (/** @type {number} */ n) => [0x41, n]; // i32.const, of -64 to 63
  const add = (/** @type {number[]} */ a, /** @type {number[]} */ b) => [...a, ...b, 0x6a]; // i32.add
  const less = (/** @type {number[]} */ a, /** @type {number[]} */ b) => [...a, ...b, 0x49]; // i32.lt_u
  const load = (/** @type {string} */ at, /** @type {number} */ offset) => [...get(at), 0xfd, 0x00, 3, offset];
  const splat = (/** @type {string} */ at) => [...get(at), 0xfd, 0x0a, 3, 0]; // v128.load64_splat
  const store = (/** @type {string} */ at, /** @type {number} */ offset, /** @type {string} */ name) =>
    [...get(at), ...get(name), 0xfd, 0x0b, 3, offset];
  const times = (/** @type {string} */ a, /** @type {string} */ b) => [...get(a), ...get(b), 0xfd, ...leb(0xf2)]; // f64x2.mul
  const plus = (/** @type {string} */ a, /** @type {number[]} */ b) => [...get(a), ...b, 0xfd, ...leb(0xf0)]; // f64x2.add
  const move = (/** @type {string} */ name, /** @type {number[]} */ by) => set(name, add(get(name), by));
  /** repeats the body while a condition holds after it: loop, br_if, end @param {number[]} body @param {number[]} condition */
  const loop = (body, condition) => [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b];
  const positions = [0, 1, 2, 3];
  const products = positions.flatMap((p) => [
    ...set("x", splat(`a${p}`)),
    ...set(`s${p}`, plus(`s${p}`, times("x", "w0"))),
    ...set(`t${p}`, plus(`t${p}`, times("x", "w1"))),
    ...move(`a${p}`, constant(8)),
  ]);
  const sums = loop(
    [...set("w0", load("w", 0)), ...set("w1", load("w", 16)), ...products, ...move("w", constant(32))],
    less(get("a0"), get("end")),
  );
  const panel = [
    ...positions.flatMap((p) => [
      ...set(`s${p}`, load("c", 0)),
      ...set(`t${p}`, load("c", 16)),
      ...set(`a${p}`, p === 0 ? get("patches") : add(get(`a${p - 1}`), get("length"))),
    ]),
    ...set("end", get("a1")),
    ...sums,
    ...set("row", get("o")),
    ...positions.flatMap((p) => [
      ...store("row", 0, `s${p}`),
      ...store("row", 16, `t${p}`),
      ...move("row", get("outputs")),
    ]),
    ...move("c", constant(32)),
    ...move("o", constant(32)),
  ];
  const four = [
    ...set("w", get("weights")),
    ...set("c", get("bias")),
    ...set("o", get("out")),
    ...loop(panel, less(get("c"), add(get("bias"), get("outputs")))),
    ...positions.flatMap(() => [...move("patches", get("length")), ...move("out", get("outputs"))]),
    ...move("n", constant(0x7c)), // -4
  ];
  const body = [2, integers.length, I32, vectors.length, V128, ...loop(four, get("n")), 0x0b];
  const text = (/** @type {string} */ name) => [name.length, ...new TextEncoder().encode(name)];
  const section = (/** @type {number} */ id, /** @type {number[]} */ content) => [id, ...leb(content.length), ...content];
  return Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameters.length, ...parameters.map(() => I32), 0]), // a type: the function's
    ...section(2, [1, ...text("heap"), ...text("memory"), 2, 0, 1]), // imports a memory of a page or more
    ...section(3, [1, 0]), // a function of this type
    ...section(7, [1, ...text("multiply"), 0, 0]), // exports it
    ...section(10, [1, ...leb(body.length), ...body]),
  );
}

const compiled = once(() => new WebAssembly.Module(assembled()));

/** @type {Kernel} */
function simd(size) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / 2 ** 13) });
  const { exports } = new WebAssembly.Instance(compiled(), { heap: { memory } });
  const multiply = /** @type {Multiply} */ (exports.multiply);
  return {
    heap: new Float64Array(memory.buffer),
    multiply: (patches, n, length, weights, outputs, bias, out) =>
      multiply(8 * patches, n, 8 * length, 8 * weights, 8 * outputs, 8 * bias, 8 * out),
  };
}

/** Is there WebAssembly with SIMD, and are its bytes in the order of this machine? */
function hasSimd() {
  return isLittleEndian && typeof WebAssembly === "object" && WebAssembly.validate(assembled());
}

/** The kernels that there are here. `simd` is null where a machine has none. */
export const kernels = { plain, simd: hasSimd() ? simd : null };

// ---- §1 Model -----------------------------------------------------------------------------------------------------

/** @template T @param {() => T} make @returns {() => T} what `make` makes, made once, when it is first asked for */
function once(make) {
  /** @type {T | undefined} */
  let made;
  return () => {
    made ??= make();
    return made;
  };
}

/** @param {Uint8Array} file a safetensors file @returns {{[name: string]: Tensor}} */
function safetensors(file) {
  const start = 8 + Number(viewOf(file).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  /** @type {{[name: string]: Tensor}} */
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: ends }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const buffer = values(file.subarray(start + ends[0], start + ends[1]));
    tensors[name] = { shape, values: dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer) };
  }
  return tensors;
}

/**
 * A model, ready for use. Its networks are made when they are first needed.
 * @param {Uint8Array} file the safetensors file of the model (§1), such as mbtref/data/lite-q4.safetensors
 * @param {Uint8Array} gaussian mbtref/data/gaussian.safetensors (§4)
 * @param {Kernel} kernel one of `kernels`; all give the same results
 */
export function readModel(file, gaussian, kernel = kernels.simd ?? kernels.plain) {
  const tensors = safetensors(file);
  const y = safetensors(gaussian);
  const N = tensors["g_a.0.weight"].shape[0];
  const M = tensors["g_a.6.weight"].shape[0];
  const quantiles = tensors["entropy_bottleneck.quantiles"].values;
  const medians = Float32Array.from({ length: N }, (_, c) => quantiles[3 * c + 1]);
  return {
    N,
    M,
    /** the first 8 bytes of the file's SHA-256, as 16 hexadecimal digits */
    fingerprint: sha256(file).slice(0, 16),
    tensors,
    medians, // (N), as in the file
    gridMedians: onGrid(medians, 10), // (N), in units of 2^-10
    zTables: tables(tensors, "entropy_bottleneck."),
    yTables: tables(y, ""),
    thresholds: y.thresholds.values,
    exact: once(() => network(kernel, EXACT, entropyLayers(tensors, onGrid))),
    float: once(() => network(kernel, FLOAT, entropyLayers(tensors, (v) => v))),
    g_a: once(() => network(kernel, FLOAT, analysisLayers(tensors))),
    h_a: once(() => network(kernel, FLOAT, hyperAnalysisLayers(tensors))),
    g_s: once(() => network(kernel, FLOAT, synthesisLayers(tensors))),
  };
}

/** @param {ArrayLike<number>} v @param {number} bits @returns {ArrayLike<number>} round(v · 2^bits), in float64 */
const onGrid = (v, bits) => Float64Array.from(v, (one) => Math.floor(one * 2 ** bits + 0.5));

// ---- §2 Layers, exact or float ------------------------------------------------------------------------------------

/**
 * What happens to a sum of a layer. EXACT: units of 2^-24 in, units of 2^-10 out. FLOAT (§§9, 12, 13): numbers.
 * @typedef {{out: (sum: number) => number, leaky: (sum: number) => number}} Arithmetic
 */

/** @param {number} v */
const saturate = (v) => (v < LOW ? LOW : v > HIGH ? HIGH : v);

// out = saturate(round(sum / 2^14))
const requantize = (/** @type {number} */ sum) => saturate(Math.floor(sum / 2 ** 14 + 0.5));

/** @type {Arithmetic} */
const EXACT = {
  out: requantize,
  leaky(sum) {
    const out = requantize(sum);
    return out < 0 ? Math.floor((out * 1311) / 2 ** 17 + 0.5) : out; // round(out · 1311 / 2^17)
  },
};

/** @type {Arithmetic} */
const FLOAT = { out: (sum) => sum, leaky: (sum) => (sum < 0 ? sum * 0.01 : sum) };

/**
 * A layer as it is in the file: a convolution of a stride, or a transposed one, whose `up` is 2. The output row
 * up · q + a and column up · r + b belong to phase (a, b). Each phase has the *runs* of taps that meet there, a run of
 * `count` inputs of one row: those of row stride · q + row and columns from stride · r + column on.
 *
 * @typedef {{row: number, column: number, count: number}} Run
 * @typedef {{runs: Run[], tap: (row: number, column: number) => number}} Taps tap: 5 · row + column of the kernel's
 *   (or 3 · row + column) weight that an input meets
 * @typedef {{inputs: number, outputs: number, stride: number, up: number, phases: Taps[], bias: ArrayLike<number>,
 *   weight: (output: number, input: number, tap: number) => number}} Layer
 * @typedef {{runs: Run[], length: number, weights: number}} Phase placed in a heap
 * @typedef {{inputs: number, outputs: number, padded: number, stride: number, up: number, phases: Phase[],
 *   bias: number}} Placed
 * @typedef {{heap: Float64Array, multiply: Multiply, arithmetic: Arithmetic, layers: {[name: string]: Placed},
 *   patches: number, out: number}} Network
 * @typedef {(v: ArrayLike<number>, bits: number) => ArrayLike<number>} Grid
 */

/**
 * out[c', o] = bias[c'] + Σ_c Σ_i in[c, s · o + i - p] · weight[c', c, i]
 * @param {{[name: string]: Tensor}} tensors @param {string} name @param {number} stride @param {Grid} grid
 * @returns {Layer}
 */
function convolution(tensors, name, stride, grid = (v) => v) {
  const [outputs, inputs, K] = tensors[`${name}.weight`].shape;
  const w = grid(tensors[`${name}.weight`].values, 14);
  const p = (K - 1) / 2;
  const runs = Array.from({ length: K }, (_, i) => ({ row: i - p, column: -p, count: K }));
  return {
    inputs,
    outputs,
    stride,
    up: 1,
    phases: [{ runs, tap: (row, column) => (row + p) * K + column + p }],
    bias: grid(tensors[`${name}.bias`].values, 24),
    weight: (output, input, tap) => w[(output * inputs + input) * K * K + tap],
  };
}

/**
 * context_prediction: the taps of rows 0 and 1, and those of columns 0 and 1 of row 2
 * @param {{[name: string]: Tensor}} tensors @param {Grid} grid @returns {Layer}
 */
function contextPrediction(tensors, grid) {
  const layer = convolution(tensors, "context_prediction", 1, grid);
  const [first, second, third] = layer.phases[0].runs;
  layer.phases[0].runs = [first, second, { ...third, count: 2 }];
  return layer;
}

/**
 * out[c', o] = bias[c'] + Σ_c Σ_i in[c, i] · weight[c, c', o + 2 - 2i]
 * @param {{[name: string]: Tensor}} tensors @param {string} name @param {Grid} grid @returns {Layer}
 */
function transposed(tensors, name, grid = (v) => v) {
  const [inputs, outputs] = tensors[`${name}.weight`].shape;
  const w = grid(tensors[`${name}.weight`].values, 14);
  /** @type {Taps[]} */
  const phases = [];
  for (const a of [0, 1]) {
    for (const b of [0, 1]) {
      // an even output 2q has the inputs q - 1, q, q + 1, and an odd one 2q + 1 has q, q + 1
      const rows = a === 0 ? [-1, 0, 1] : [0, 1];
      const runs = rows.map((row) => ({ row, column: b - 1, count: 3 - b }));
      phases.push({ runs, tap: (row, column) => (a + 2 - 2 * row) * 5 + b + 2 - 2 * column });
    }
  }
  return {
    inputs,
    outputs,
    stride: 1,
    up: 2,
    phases,
    bias: grid(tensors[`${name}.bias`].values, 24),
    weight: (output, input, tap) => w[(input * outputs + output) * 25 + tap],
  };
}

/**
 * The sum of a GDN, beta_i + Σ_j gamma_ij · a_j², is a 1×1 layer of squares (§9):
 * beta = max(b, √(10^-6 + 2^-36))² - 2^-36,  gamma = max(g, 2^-18)² - 2^-36
 * @param {{[name: string]: Tensor}} tensors @param {string} name @returns {Layer}
 */
function squares(tensors, name) {
  const b = tensors[`${name}.beta`].values;
  const g = tensors[`${name}.gamma`].values;
  const least = Math.sqrt(1e-6 + 2 ** -36);
  return {
    inputs: b.length,
    outputs: b.length,
    stride: 1,
    up: 1,
    phases: [{ runs: [{ row: 0, column: 0, count: 1 }], tap: () => 0 }],
    bias: Array.from(b, (v) => Math.max(v, least) ** 2 - 2 ** -36),
    weight: (i, j) => Math.max(g[i * b.length + j], 2 ** -18) ** 2 - 2 ** -36,
  };
}

/** @param {{[name: string]: Tensor}} tensors @param {Grid} grid @returns {{[name: string]: Layer}} */
const entropyLayers = (tensors, grid) => ({
  "h_s.0": transposed(tensors, "h_s.0", grid),
  "h_s.2": transposed(tensors, "h_s.2", grid),
  "h_s.4": convolution(tensors, "h_s.4", 1, grid),
  context_prediction: contextPrediction(tensors, grid),
  "entropy_parameters.0": convolution(tensors, "entropy_parameters.0", 1, grid),
  "entropy_parameters.2": convolution(tensors, "entropy_parameters.2", 1, grid),
  "entropy_parameters.4": convolution(tensors, "entropy_parameters.4", 1, grid),
});

const STRIP = 32; // the most positions of one product: what the patches of one need stays in a cache

/** @param {number} n */
const toFour = (n) => Math.ceil(n / 4) * 4;

/**
 * Places layers in a heap.
 * @param {Kernel} kernel @param {Arithmetic} arithmetic @param {{[name: string]: Layer}} layers @returns {Network}
 */
function network(kernel, arithmetic, layers) {
  let size = 0;
  /** @param {number} length @returns {number} a place for so many numbers */
  const reserve = (length) => {
    size += length;
    return size - length;
  };
  let longest = 0;
  let widest = 0;
  /** @type {{[name: string]: Placed}} */
  const placed = {};
  for (const [name, layer] of Object.entries(layers)) {
    const padded = toFour(layer.outputs);
    const phases = layer.phases.map(({ runs }) => {
      const length = layer.inputs * runs.reduce((sum, { count }) => sum + count, 0);
      longest = Math.max(longest, length);
      return { runs, length, weights: reserve(padded * length) };
    });
    widest = Math.max(widest, padded);
    placed[name] = { ...layer, padded, phases, bias: reserve(padded) };
  }
  const patches = reserve(STRIP * longest);
  const out = reserve(STRIP * widest);
  const { heap, multiply } = kernel(size);
  for (const [name, layer] of Object.entries(layers)) fill(heap, layer, placed[name]);
  return { heap, multiply, arithmetic, layers: placed, patches, out };
}

/**
 * Writes weights and bias of a layer to its places.
 * @param {Float64Array} heap @param {Layer} layer @param {Placed} placed
 */
function fill(heap, layer, placed) {
  heap.set(layer.bias, placed.bias);
  layer.phases.forEach(({ runs, tap }, phase) => {
    const { length, weights } = placed.phases[phase];
    for (let c = 0; c < layer.outputs; c++) {
      let at = weights + (c - (c % 4)) * length + (c % 4); // of panel ⌊c / 4⌋
      for (const { row, column, count } of runs) {
        for (let k = 0; k < count; k++) {
          const place = tap(row, column + k);
          for (let i = 0; i < layer.inputs; i++, at += 4) heap[at] = layer.weight(c, i, place);
        }
      }
    }
  });
}

/**
 * Puts the inputs of one position where `multiply` reads them.
 * @param {Network} network @param {Placed} layer @param {Phase} phase
 * @param {Float64Array[]} lines a row for each run
 * @param {number} column the input column of the position, stride · r
 * @param {number} p the number of the position, below STRIP
 */
function gather({ heap, patches }, { inputs }, { runs, length }, lines, column, p) {
  let at = patches + p * length;
  for (let r = 0; r < runs.length; r++) {
    const line = lines[r];
    let from = (column + runs[r].column + 2) * inputs;
    const end = from + runs[r].count * inputs;
    while (from < end) heap[at++] = line[from++];
  }
}

/**
 * The outputs of a layer at n gathered positions, as `after` makes them of sums.
 * @param {Network} network @param {Placed} layer @param {Phase} phase @param {number} n
 * @param {(sum: number) => number} after
 * @returns {Float64Array} (n, outputs)
 */
function outputs({ heap, multiply, patches, out }, layer, phase, n, after) {
  multiply(patches, toFour(n), phase.length, phase.weights, layer.padded, layer.bias, out);
  const result = new Float64Array(n * layer.outputs);
  for (let p = 0, at = 0; p < n; p++) {
    for (let c = 0; c < layer.outputs; c++) result[at++] = after(heap[out + p * layer.padded + c]);
  }
  return result;
}

const KEPT = 8; // rows of each layer that are kept: more than the five that a kernel covers

/**
 * Rows that are computed when they are asked for.
 * @param {number} rows @param {number} columns @param {number} channels
 * @param {(row: number, line: Float64Array) => void} compute writes the columns of a row, from (2, 0) on
 * @returns {Rows}
 */
function computed(rows, columns, channels, compute) {
  const outside = new Float64Array((columns + 4) * channels);
  const lines = Array.from({ length: Math.min(KEPT, rows) }, () => new Float64Array(outside.length));
  const held = lines.map(() => -1);
  return (row) => {
    if (row < 0 || row >= rows) return outside;
    const slot = row % lines.length;
    if (held[slot] !== row) {
      compute(row, lines[slot]);
      held[slot] = row;
    }
    return lines[slot];
  };
}

/**
 * The rows of a layer.
 * @param {Network} network @param {string} name @param {Rows} input
 * @param {number} rows of the output @param {number} columns of the output
 * @param {(sum: number) => number} after
 * @returns {Rows}
 */
function convolved(network, name, input, rows, columns, after) {
  const layer = network.layers[name];
  const { stride, up } = layer;
  return computed(rows, columns, layer.outputs, (row, line) => {
    const q = Math.floor(row / up);
    for (let b = 0; b < up; b++) {
      const phase = layer.phases[(row % up) * up + b];
      const lines = phase.runs.map((run) => input(stride * q + run.row)); // these may use the same heap
      for (let first = 0; first < columns / up; first += STRIP) {
        const n = Math.min(STRIP, columns / up - first);
        for (let p = 0; p < n; p++) gather(network, layer, phase, lines, stride * (first + p), p);
        const out = outputs(network, layer, phase, n, after);
        for (let p = 0; p < n; p++) {
          const to = (2 + up * (first + p) + b) * layer.outputs;
          for (let c = 0; c < layer.outputs; c++) line[to + c] = out[p * layer.outputs + c];
        }
      }
    }
  });
}

/**
 * The rows of a tensor in C order.
 * @param {ArrayLike<number>} array (channels, rows, columns)
 * @param {number} channels @param {number} rows @param {number} columns
 * @param {(v: number, channel: number) => number} of what becomes of each value
 * @returns {Rows}
 */
function rowsOf(array, channels, rows, columns, of = (v) => v) {
  return computed(rows, columns, channels, (row, line) => {
    for (let c = 0; c < channels; c++) {
      let from = (c * rows + row) * columns;
      for (let j = 0; j < columns; j++) line[(2 + j) * channels + c] = of(array[from++], c);
    }
  });
}

/**
 * Writes rows to an array in C order, (channels, rows, columns).
 * @template {Float32Array | Int32Array} A
 * @param {A} array @param {Rows} input @param {number} rows @param {number} columns
 * @param {(row: number) => void} [done] is told each row
 * @returns {A} the array
 */
function collect(array, input, rows, columns, done) {
  const channels = array.length / (rows * columns);
  for (let row = 0; row < rows; row++) {
    const line = input(row);
    for (let c = 0; c < channels; c++) {
      let to = (c * rows + row) * columns;
      for (let j = 0; j < columns; j++) array[to++] = line[(2 + j) * channels + c];
    }
    done?.(row);
  }
  return array;
}

/**
 * h_s: psi, of z_hat.
 * @param {Network} network exact or float
 * @param {Rows} z_hat (N, h, w) @param {number} h @param {number} w
 * @returns {Rows} (2M, 4h, 4w)
 */
function hyperSynthesis(network, z_hat, h, w) {
  const { out, leaky } = network.arithmetic;
  const first = convolved(network, "h_s.0", z_hat, 2 * h, 2 * w, leaky);
  const second = convolved(network, "h_s.2", first, 4 * h, 4 * w, leaky);
  return convolved(network, "h_s.4", second, 4 * h, 4 * w, out);
}

/**
 * context_prediction and entropy_parameters at some positions.
 * @param {Network} network exact or float
 * @param {Rows} psi @param {Rows} y_hat
 * @param {{row: number, column: number}[]} positions at most STRIP
 * @returns {{phi: Float64Array, parameters: Float64Array}} (positions, 2M) each; parameters: sigma, then mu
 */
function entropyParameters(network, psi, y_hat, positions) {
  const { heap, layers, arithmetic, patches } = network;
  const context = layers.context_prediction;
  const n = positions.length;
  positions.forEach(({ row, column }, p) => {
    const lines = context.phases[0].runs.map((run) => y_hat(row + run.row));
    gather(network, context, context.phases[0], lines, column, p);
  });
  const phi = outputs(network, context, context.phases[0], n, arithmetic.out);
  const width = context.outputs;
  let a = new Float64Array(2 * width * n);
  positions.forEach(({ row, column }, p) => {
    a.set(psi(row).subarray((column + 2) * width, (column + 3) * width), 2 * p * width);
    a.set(phi.subarray(p * width, (p + 1) * width), (2 * p + 1) * width);
  });
  for (const i of [0, 2, 4]) {
    const layer = layers[`entropy_parameters.${i}`];
    heap.set(a, patches);
    a = outputs(network, layer, layer.phases[0], n, i < 4 ? arithmetic.leaky : arithmetic.out);
  }
  return { phi, parameters: a };
}

/**
 * psi, phi, sigma and mu where all latents are given.
 * @template {Float32Array | Int32Array} A
 * @param {Network} network exact or float
 * @param {Rows} z_hat (N, h, w) @param {Rows} y_hat (M, 4h, 4w) @param {number} h @param {number} w
 * @param {(length: number) => A} make an array
 * @returns {{psi: A, phi: A, sigma: A, mu: A}} (2M, 4h, 4w) twice, (M, 4h, 4w) twice
 */
function teacherForced(network, z_hat, y_hat, h, w, make) {
  const [rows, columns] = [4 * h, 4 * w];
  const width = network.layers.context_prediction.outputs;
  const psi = hyperSynthesis(network, z_hat, h, w);
  const result = make(width * rows * columns);
  const phi = make(width * rows * columns);
  const both = make(width * rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let first = 0; first < columns; first += STRIP) {
      const length = Math.min(STRIP, columns - first);
      const positions = Array.from({ length }, (_, p) => ({ row, column: first + p }));
      const { phi: some, parameters } = entropyParameters(network, psi, y_hat, positions);
      positions.forEach(({ column }, p) => {
        for (let c = 0; c < width; c++) {
          const to = (c * rows + row) * columns + column;
          result[to] = psi(row)[(column + 2) * width + c];
          phi[to] = some[p * width + c];
          both[to] = parameters[p * width + c];
        }
      });
    }
  }
  const half = both.length / 2;
  return {
    psi: result,
    phi,
    sigma: /** @type {A} */ (both.slice(0, half)),
    mu: /** @type {A} */ (both.slice(half)),
  };
}

// ---- §3 Latents and their order -----------------------------------------------------------------------------------

/** @param {number} height @param {number} width of a picture @returns {{h: number, w: number}} blocks of 64×64 */
const blocks = (height, width) => ({ h: Math.ceil(height / 64), w: Math.ceil(width / 64) });

/**
 * z_hat = saturate(k_z · 2^10 + median)
 * @param {Model} model @param {Int32Array} k_z (N, h, w) @param {number} h @param {number} w @returns {Rows}
 */
const zHat = (model, k_z, h, w) =>
  rowsOf(k_z, model.N, h, w, (k, c) => saturate(k * 2 ** 10 + model.gridMedians[c]));

/**
 * Visits all y in the order of §3, for a decoder and for an encoder alike.
 * @param {Model} model
 * @param {Int32Array} k_z (N, h, w) @param {number} h @param {number} w
 * @param {(index: number, mu: number, at: number) => number} code gives the symbol k of the latent at element `at` of
 *   (M, 4h, 4w), from its table and its mean: a decoder reads it, an encoder makes it
 * @param {Watch} watch
 * @returns {{y_hat: Int32Array, bitsY: Float64Array, bitsZ: Float64Array}}
 */
function closedLoop(model, k_z, h, w, code, watch) {
  const { M, yTables, zTables, thresholds } = model;
  const [rows, columns, area] = [4 * h, 4 * w, 16 * h * w];
  const network = model.exact();
  const synthesis = hyperSynthesis(network, zHat(model, k_z, h, w), h, w);
  /** @type {Float64Array[]} */
  const psi = []; // of the rows that have begun and not ended
  /** @type {Float64Array[]} */
  const y_hat = []; // of the rows that have begun
  const outside = new Float64Array((columns + 4) * M);
  const bitsY = new Float64Array(area);
  /** @param {{row: number, column: number}[]} positions */
  const visit = (positions) => {
    const { parameters } = entropyParameters(
      network,
      (row) => psi[row],
      (row) => y_hat[row] ?? outside,
      positions,
    );
    positions.forEach(({ row, column }, p) => {
      const place = row * columns + column;
      for (let c = 0; c < M; c++) {
        const index = below(thresholds, parameters[2 * M * p + c]);
        const mu = parameters[2 * M * p + M + c];
        const k = code(index, mu, c * area + place);
        y_hat[row][(2 + column) * M + c] = saturate(k * 2 ** 10 + mu);
        bitsY[place] += bits(yTables, index, k);
      }
    });
  };
  const last = columns + 3 * (rows - 1); // t = column + 3 · row is below it
  for (let t = 0; t < last; t++) {
    if (t % 3 === 0 && t / 3 < rows) {
      psi[t / 3] = synthesis(t / 3).slice();
      y_hat[t / 3] = new Float64Array(outside.length);
      watch("h_s", (t / 3 + 1) / rows);
    }
    const top = Math.max(0, Math.ceil((t - columns + 1) / 3));
    if (top > 0) delete psi[top - 1];
    const bottom = Math.min(rows - 1, Math.floor(t / 3));
    for (let row = top; row <= bottom; row += STRIP) {
      const length = Math.min(STRIP, bottom - row + 1);
      visit(Array.from({ length }, (_, i) => ({ row: row + i, column: t - 3 * (row + i) })));
    }
    watch("latents", (t + 1) / last);
  }
  const bitsZ = new Float64Array(h * w);
  for (let i = 0; i < k_z.length; i++) bitsZ[i % (h * w)] += bits(zTables, Math.floor(i / (h * w)), k_z[i]);
  return { y_hat: collect(new Int32Array(M * area), (row) => y_hat[row], rows, columns), bitsY, bitsZ };
}

/**
 * Decodes the latents of a stream.
 * @param {Model} model
 * @param {Uint8Array} stream
 * @param {Watch} watch hears of "h_s" and "latents", which take turns
 * @returns {Latents}
 * @throws {BitstreamError} of the first check of §7 that fails
 */
export function decodeLatents(model, stream, watch = () => {}) {
  const { height, width, fingerprint, payload } = parse(stream);
  if (fingerprint !== model.fingerprint) {
    throw new BitstreamError("unknown-model", 4, `the stream is of model ${fingerprint}, not ${model.fingerprint}`);
  }
  const { h, w } = blocks(height, width);
  const reader = new Reader(payload, HEADER);
  const k_z = new Int32Array(model.N * h * w);
  for (let i = 0; i < k_z.length; i++) k_z[i] = reader.symbol(model.zTables, Math.floor(i / (h * w)));
  const latents = closedLoop(model, k_z, h, w, (index) => reader.symbol(model.yTables, index), watch);
  reader.finish();
  return { height, width, ...latents };
}

// ---- §4 Tables ----------------------------------------------------------------------------------------------------

/** @param {{[name: string]: Tensor}} tensors @param {string} prefix @returns {Tables} */
function tables(tensors, prefix) {
  /** @param {string} name */
  const integers = (name) => Int32Array.from(tensors[prefix + name].values);
  return { cdf: integers("_quantized_cdf"), length: integers("_cdf_length"), offset: integers("_offset") };
}

/** @param {ArrayLike<number>} thresholds rising @param {number} sigma @returns {number} how many are smaller */
function below(thresholds, sigma) {
  let low = 0;
  let high = thresholds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (thresholds[middle] < sigma) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Where a table lies, and the bin of its escape.
 * @param {Tables} tables @param {number} t its index
 * @returns {{first: number, escape: number}} c_0 is element `first` of cdf
 */
const table = ({ cdf, length }, t) => ({ first: (t * cdf.length) / length.length, escape: length[t] - 2 });

/**
 * The bin of a symbol and, if it is the escape, the digits of its raw, the lowest first.
 * @param {Tables} tables @param {number} t @param {number} symbol
 * @returns {{bin: number, digits: number[] | null}}
 */
function binOf(tables, t, symbol) {
  const { escape } = table(tables, t);
  const v = symbol - tables.offset[t];
  if (v >= 0 && v < escape) return { bin: v, digits: null };
  const digits = [];
  for (let raw = v < 0 ? -2 * v - 1 : 2 * (v - escape); raw > 0; raw = Math.floor(raw / 16)) digits.push(raw % 16);
  return { bin: escape, digits };
}

/** @param {Tables} tables @param {number} t @param {number} symbol @returns {number} the bits that it costs */
function bits(tables, t, symbol) {
  const { bin, digits } = binOf(tables, t, symbol);
  const c = table(tables, t).first + bin;
  return 16 - Math.log2(tables.cdf[c + 1] - tables.cdf[c]) + (digits ? 4 * (digits.length + 1) : 0);
}

// ---- §5 Entropy coding --------------------------------------------------------------------------------------------

/** Reads symbols. The state x is high · 2^32 + low. */
class Reader {
  /**
   * @param {Uint8Array} payload
   * @param {number} start the byte of the stream at which it begins, for errors
   */
  constructor(payload, start) {
    this.view = viewOf(payload);
    this.start = start;
    this.at = 8;
    if (payload.length < 8 || payload.length % 4) {
      throw this.error("truncated", `a payload of ${payload.length} bytes isn't two or more words of four bytes`);
    }
    this.low = this.view.getUint32(0, true);
    this.high = this.view.getUint32(4, true);
    // x in [2^31, 2^63)
    if (this.high >= 2 ** 31 || (this.high === 0 && this.low < 2 ** 31)) {
      throw this.error("bad-final-state", "the first state isn't in [2^31, 2^63)");
    }
  }

  /** @param {string} kind @param {string} message */
  error(kind, message) {
    return new BitstreamError(kind, this.start + Math.min(this.at, this.view.byteLength), message);
  }

  /**
   * x = width · ⌊x / 2^b⌋ + slot - start, and a refill. `rest` is slot - start.
   * @param {number} b @param {number} width @param {number} rest
   */
  step(b, width, rest) {
    const part = 2 ** b;
    const high = Math.floor(this.high / part); // of ⌊x / 2^b⌋
    const low = Math.floor(this.low / part) + (this.high % part) * 2 ** (32 - b);
    const product = width * low + rest; // below 2^49
    this.low = product % 2 ** 32;
    this.high = width * high + Math.floor(product / 2 ** 32);
    // if x < 2^31: x = x · 2^32 + next word
    if (this.high === 0 && this.low < 2 ** 31) {
      if (this.at >= this.view.byteLength) throw this.error("truncated", "the payload ends within a symbol");
      this.high = this.low;
      this.low = this.view.getUint32(this.at, true);
      this.at += 4;
    }
  }

  /** @returns {number} a digit, x mod 2^4 */
  digit() {
    const digit = this.low % 16;
    this.step(4, 1, 0);
    return digit;
  }

  /** @param {Tables} tables @param {number} t @returns {number} a symbol of table t */
  symbol(tables, t) {
    const { first, escape } = table(tables, t);
    const slot = this.low % 2 ** 16;
    let bin = below(tables.cdf.subarray(first, first + escape + 1), slot + 1) - 1; // c_bin <= slot < c_(bin+1)
    const start = tables.cdf[first + bin];
    this.step(16, tables.cdf[first + bin + 1] - start, slot - start);
    if (bin === escape) {
      const m = this.digit();
      if (m > 7) throw this.error("symbol-out-of-range", `an escape has ${m} digits, of 7 at most`);
      let raw = 0;
      for (let j = 0, digit = 0; j < m; j++) {
        digit = this.digit();
        raw += digit * 16 ** j;
        if (j === m - 1 && digit === 0) throw this.error("symbol-out-of-range", "the highest digit of an escape is 0");
      }
      bin = raw % 2 ? -(raw + 1) / 2 : raw / 2 + escape;
    }
    return tables.offset[t] + bin;
  }

  /** The checks after the last symbol. */
  finish() {
    const left = this.view.byteLength - this.at;
    if (left > 0) throw this.error("trailing-data", `${left} bytes are left after the last symbol`);
    if (this.high !== 0 || this.low !== 2 ** 31) throw this.error("bad-final-state", "the last state isn't 2^31");
  }
}

/**
 * @param {Uint8Array} stream a rANS stream alone
 * @param {Int32Array} indexes (n): the table of each symbol
 * @param {Tables} tables
 * @returns {Int32Array} (n) symbols
 * @throws {BitstreamError} of the checks of §7 that a payload has
 */
export function ransDecode(stream, indexes, tables) {
  const reader = new Reader(stream, 0);
  const symbols = Int32Array.from(indexes, (t) => reader.symbol(tables, t));
  reader.finish();
  return symbols;
}

/** Takes steps, the last one first. The state x is high · 2^32 + low. */
class Writer {
  constructor() {
    this.low = 2 ** 31;
    this.high = 0;
    /** @type {number[]} */
    this.words = [];
  }

  /** @param {number} b @param {number} start @param {number} width */
  step(b, start, width) {
    // if x >= width · 2^(63 - b): put away x mod 2^32 as a word, x = ⌊x / 2^32⌋
    if (this.high >= width * 2 ** (31 - b)) {
      this.words.push(this.low);
      this.low = this.high;
      this.high = 0;
    }
    // x = ⌊x / width⌋ · 2^b + x mod width + start
    const high = Math.floor(this.high / width); // of ⌊x / width⌋
    const rest = (this.high % width) * 2 ** 32 + this.low; // below 2^48
    const low = Math.floor(rest / width);
    const above = 2 ** (32 - b);
    this.low = (low % above) * 2 ** b + (rest % width) + start;
    this.high = high * 2 ** b + Math.floor(low / above);
  }

  /** @param {Tables} tables @param {number} t @param {number} symbol */
  symbol(tables, t, symbol) {
    const { bin, digits } = binOf(tables, t, symbol);
    if (digits && digits.length > 7) {
      throw new RangeError(`symbol ${symbol} is too far from its table, at ${tables.offset[t]}: limit it to 27 bits`);
    }
    for (const digit of digits ? [digits.length, ...digits].reverse() : []) this.step(4, digit, 1);
    const c = table(tables, t).first + bin;
    this.step(16, tables.cdf[c], tables.cdf[c + 1] - tables.cdf[c]);
  }

  /** @returns {Uint8Array<ArrayBuffer>} x as two words, the lower one first; the words put away, the last one first */
  bytes() {
    const bytes = new Uint8Array(8 + 4 * this.words.length);
    const view = viewOf(bytes);
    [...[this.low, this.high], ...this.words.reverse()].forEach((word, i) => {
      view.setUint32(4 * i, word, true);
    });
    return bytes;
  }
}

/**
 * @param {ArrayLike<number>} symbols (n)
 * @param {ArrayLike<number>} indexes (n): the table of each symbol
 * @param {Tables} tables
 * @returns {Uint8Array<ArrayBuffer>} the rANS stream
 * @throws {RangeError} if a symbol's raw has more than 7 digits
 */
export function ransEncode(symbols, indexes, tables) {
  const writer = new Writer();
  for (let i = symbols.length - 1; i >= 0; i--) writer.symbol(tables, indexes[i], symbols[i]);
  return writer.bytes();
}

// ---- §6 Bytes, §7 Errors ------------------------------------------------------------------------------------------

const HEADER = 20;
const MAGIC = [0x4d, 0x42, 0x54]; // MBT
const VERSION = 1;

/**
 * Reads the header of a stream.
 * @param {Uint8Array} stream
 * @returns {{height: number, width: number, fingerprint: string, payload: Uint8Array}} height and width in pixels; the
 *   model's fingerprint as 16 hexadecimal digits; the payload is a view of the stream
 * @throws {BitstreamError} of the checks of §7 up to `checksum-mismatch`
 */
export function parse(stream) {
  MAGIC.forEach((byte, i) => {
    if (i < stream.length && stream[i] !== byte) throw new BitstreamError("bad-magic", i, "not an .mbt stream");
  });
  if (stream.length > 3 && stream[3] !== VERSION) {
    throw new BitstreamError("unsupported-version", 3, `version ${stream[3]}; only ${VERSION} is known`);
  }
  if (stream.length < HEADER) {
    throw new BitstreamError("truncated", stream.length, `a header has ${HEADER} bytes, and here are ${stream.length}`);
  }
  const view = viewOf(stream);
  const [height, width] = [view.getUint16(12, true), view.getUint16(14, true)];
  if (height === 0 || width === 0) throw new BitstreamError("bad-dimensions", 12, `${height}×${width} pixels`);
  if (height * width > PIXELS) throw new BitstreamError("too-large", 12, `${height}×${width} pixels, of 2^25 at most`);
  const payload = stream.subarray(HEADER);
  if (view.getUint32(16, true) !== crc32(stream.subarray(0, 16), payload)) {
    throw new BitstreamError("checksum-mismatch", 16, "the CRC-32 isn't that of the bytes: some were changed");
  }
  return { height, width, fingerprint: hex(stream.subarray(4, 12)), payload };
}

// ---- §8 Latent buffers --------------------------------------------------------------------------------------------

const BUFFER_VALUES = 2 ** 26;

/**
 * @param {Float32Array} y_hat (M, 4h, 4w) @param {Float32Array} z_hat (N, h, w)
 * @param {{M: number, N: number, h: number, w: number}} shape
 * @returns {{header: Uint8Array<ArrayBuffer>, values: Uint8Array<ArrayBuffer>}}
 */
function pack(y_hat, z_hat, { M, N, h, w }) {
  if (y_hat.length !== 16 * M * h * w || z_hat.length !== N * h * w) {
    throw new RangeError(`latents of ${y_hat.length} and ${z_hat.length} values; pass (M, 4h, 4w) and (N, h, w)`);
  }
  const whole = new Int16Array(y_hat.length + z_hat.length);
  [y_hat, z_hat].forEach((latents, second) => {
    latents.forEach((v, i) => {
      const integer = Math.trunc(v);
      if (!(integer >= -32768 && integer <= 32767)) {
        throw new RangeError(`a latent is ${v}: a buffer holds -32768 to 32767`);
      }
      whole[second * y_hat.length + i] = integer;
    });
  });
  return { header: littleEndian(Int32Array.of(1, M, 4 * h, 4 * w, 1, N, h, w)), values: littleEndian(whole) };
}

/** @param {Uint8Array[]} parts */
function joined(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * @param {Float32Array} y_hat (M, 4h, 4w), whole numbers @param {Float32Array} z_hat (N, h, w)
 * @param {{M: number, N: number, h: number, w: number}} shape
 * @returns {Uint8Array<ArrayBuffer>} the raw buffer
 * @throws {RangeError} if a value isn't in [-32768, 32767]
 */
export function packRaw(y_hat, z_hat, shape) {
  const { header, values } = pack(y_hat, z_hat, shape);
  return joined(header, values);
}

/**
 * @param {Float32Array} y_hat (M, 4h, 4w), whole numbers @param {Float32Array} z_hat (N, h, w)
 * @param {{M: number, N: number, h: number, w: number}} shape
 * @returns {Promise<Uint8Array<ArrayBuffer>>} the deflated buffer; the level is the platform's
 * @throws {RangeError} if a value isn't in [-32768, 32767]
 */
export async function packZlib(y_hat, z_hat, shape) {
  const { header, values } = pack(y_hat, z_hat, shape);
  const deflated = new Blob([values]).stream().pipeThrough(new CompressionStream("deflate"));
  return joined(header, new Uint8Array(await new Response(deflated).arrayBuffer()));
}

/** @param {Uint8Array} buffer @returns {{M: number, N: number, h: number, w: number}} */
function bufferShape(buffer) {
  if (buffer.length < 32) throw new BitstreamError("truncated", buffer.length, "a buffer begins with 32 bytes");
  const view = viewOf(buffer);
  const [one, M, rows, columns, another, N, h, w] = Array.from({ length: 8 }, (_, i) => view.getInt32(4 * i, true));
  const positive = Math.min(M, N, h, w) >= 1;
  if (!positive || one !== 1 || another !== 1 || rows !== 4 * h || columns !== 4 * w) {
    throw new BitstreamError("bad-dimensions", 0, "the shapes aren't (1, M, 4h, 4w) and (1, N, h, w)");
  }
  // float64 rounds a product above 2^53, and never to one below 2^26
  if ((16 * M + N) * h * w > BUFFER_VALUES) {
    throw new BitstreamError("too-large", 4, "more than 2^26 values");
  }
  return { M, N, h, w };
}

/**
 * @param {Uint8Array} bytes int16
 * @param {{M: number, N: number, h: number, w: number}} shape
 * @returns {{y_hat: Float32Array, z: Float32Array, M: number, N: number, h: number, w: number}}
 */
function unpacked(bytes, shape) {
  const latents = Float32Array.from(new Int16Array(values(bytes, 2)));
  const split = 16 * shape.M * shape.h * shape.w;
  return { y_hat: latents.slice(0, split), z: latents.slice(split), ...shape };
}

/**
 * @param {Uint8Array} buffer
 * @returns {{y_hat: Float32Array, z: Float32Array, M: number, N: number, h: number, w: number}} y_hat (M, 4h, 4w) and
 *   z (N, h, w)
 * @throws {BitstreamError} of the first check of §8 that fails
 */
export function unpackRaw(buffer) {
  const shape = bufferShape(buffer);
  const end = 32 + 2 * (16 * shape.M + shape.N) * shape.h * shape.w;
  if (buffer.length < end) throw new BitstreamError("truncated", buffer.length, `${end} bytes are needed`);
  if (buffer.length > end) throw new BitstreamError("trailing-data", end, "bytes are left after the values");
  return unpacked(buffer.subarray(32), shape);
}

/**
 * @param {Uint8Array} buffer
 * @returns {{y_hat: Float32Array, z: Float32Array, M: number, N: number, h: number, w: number}} as of unpackRaw
 * @throws {BitstreamError} of the first check of §8 that fails
 */
export function unpackZlib(buffer) {
  const shape = bufferShape(buffer);
  return unpacked(new Inflater(buffer, 32).stream(2 * (16 * shape.M + shape.N) * shape.h * shape.w), shape);
}

/**
 * The codewords of RFC 1951, 3.2.2, of given lengths: how many have each length, and the symbols in their order.
 * @typedef {{counts: Uint16Array, symbols: Uint16Array}} Codes
 */

/** @param {number} first the first base @param {number} free codes without extra bits @param {number} each codes */
function bases(first, free, each, total = 30) {
  const rows = [];
  for (let i = 0, base = first; i < total; i++) {
    const extra = i < free ? 0 : Math.floor((i - free) / each) + 1;
    rows.push({ base, extra });
    base += 2 ** extra;
  }
  return rows;
}

const LENGTHS = [...bases(3, 8, 4, 28), { base: 258, extra: 0 }];
const DISTANCES = bases(1, 4, 2);
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A zlib stream (RFC 1950, RFC 1951). */
class Inflater {
  /** @param {Uint8Array} bytes @param {number} at where the stream begins */
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
    this.held = 0; // bits that were read from a byte, and not taken
    this.bit = 0; // how many
    this.out = new Uint8Array(2 ** 12);
    this.length = 0;
    this.limit = 0;
  }

  /** @param {string} message @returns {never} */
  fault(message) {
    throw new BitstreamError("checksum-mismatch", this.at, message);
  }

  /** @returns {number} */
  byte() {
    if (this.at >= this.bytes.length) throw new BitstreamError("truncated", this.at, "the zlib stream has no end");
    return this.bytes[this.at++];
  }

  /** @param {number} count @returns {number} so many bits, the lowest first */
  take(count) {
    while (this.bit < count) {
      this.held += this.byte() * 2 ** this.bit;
      this.bit += 8;
    }
    const taken = this.held % 2 ** count;
    this.held = Math.floor(this.held / 2 ** count);
    this.bit -= count;
    return taken;
  }

  /** @param {number} byte */
  put(byte) {
    if (this.length === this.limit) throw new BitstreamError("trailing-data", this.at, "more bytes than the values have");
    if (this.length === this.out.length) this.out = joined(this.out, new Uint8Array(this.length));
    this.out[this.length++] = byte;
  }

  /** @param {number} limit @returns {Uint8Array<ArrayBuffer>} exactly so many bytes */
  stream(limit) {
    this.limit = limit;
    const [method, flags] = [this.byte(), this.byte()];
    if (method % 16 !== 8 || method >> 4 > 7 || (256 * method + flags) % 31 || flags & 32) {
      this.fault("no zlib stream begins here");
    }
    for (let last = 0; !last; ) {
      last = this.take(1);
      [this.stored, this.fixed, this.dynamic, () => this.fault("a block of type 3")][this.take(2)].call(this);
    }
    let [a, b] = [1, 0]; // Adler-32
    for (let i = 0; i < this.length; i++) {
      a = (a + this.out[i]) % 65521;
      b = (b + a) % 65521;
    }
    const sum = [this.byte(), this.byte(), this.byte(), this.byte()].reduce((word, byte) => 256 * word + byte);
    if (sum !== 65536 * b + a) this.fault("the Adler-32 is wrong");
    if (this.length < limit) throw new BitstreamError("truncated", this.at, `${this.length} bytes, of ${limit}`);
    if (this.at < this.bytes.length) throw new BitstreamError("trailing-data", this.at, "bytes after the zlib stream");
    return this.out.slice(0, limit);
  }

  stored() {
    [this.held, this.bit] = [0, 0];
    const length = this.byte() + 256 * this.byte();
    if (length + this.byte() + 256 * this.byte() !== 65535) this.fault("a stored block's two lengths differ");
    for (let i = 0; i < length; i++) this.put(this.byte());
  }

  fixed() {
    const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
    this.compressed(this.codes(lengths, true), this.codes(new Array(32).fill(5), true));
  }

  dynamic() {
    const [literals, distances, count] = [this.take(5) + 257, this.take(5) + 1, this.take(4) + 4];
    if (literals > 286 || distances > 30) this.fault("too many codes");
    const first = new Array(19).fill(0);
    for (let i = 0; i < count; i++) first[ORDER[i]] = this.take(3);
    const codes = this.codes(first, false);
    /** @type {number[]} */
    const lengths = [];
    while (lengths.length < literals + distances) {
      const symbol = this.decode(codes);
      if (symbol < 16) lengths.push(symbol);
      else {
        if (symbol === 16 && lengths.length === 0) this.fault("nothing to repeat");
        const repeated = symbol === 16 ? lengths[lengths.length - 1] : 0;
        const times = symbol === 18 ? 11 + this.take(7) : 3 + this.take(symbol === 16 ? 2 : 3);
        lengths.push(...new Array(times).fill(repeated));
      }
    }
    if (lengths.length > literals + distances) this.fault("too many lengths of codes");
    if (lengths[256] === 0) this.fault("no code of the end of the block");
    this.compressed(this.codes(lengths.slice(0, literals), true), this.codes(lengths.slice(literals), true));
  }

  /** @param {number[]} lengths of the code of each symbol, 0 to 15 @param {boolean} single may one code stand alone? */
  codes(lengths, single) {
    const counts = new Uint16Array(16);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    let left = 1; // codewords that are free
    let used = 0;
    for (let length = 1; length < 16; length++) {
      left = 2 * left - counts[length];
      if (left < 0) this.fault("too many codewords of a length");
      used += counts[length];
    }
    if (left > 0 && !(single && (used === 0 || (used === 1 && counts[1] === 1)))) this.fault("codewords are missing");
    const sorted = lengths.map((length, symbol) => ({ length, symbol })).filter(({ length }) => length > 0);
    sorted.sort((one, other) => one.length - other.length || one.symbol - other.symbol);
    return { counts, symbols: Uint16Array.from(sorted, ({ symbol }) => symbol) };
  }

  /** @param {Codes} codes @returns {number} a symbol */
  decode({ counts, symbols }) {
    let code = 0; // the bits so far, beyond the first codeword of their length
    for (let length = 1, index = 0; length < 16; length++) {
      code = 2 * code + this.take(1);
      if (code < counts[length]) return symbols[index + code];
      index += counts[length];
      code -= counts[length];
    }
    return this.fault("no codeword");
  }

  /** @param {Codes} literals @param {Codes} distances */
  compressed(literals, distances) {
    for (let symbol = this.decode(literals); symbol !== 256; symbol = this.decode(literals)) {
      if (symbol < 256) this.put(symbol);
      else {
        const length = LENGTHS[symbol - 257] ?? this.fault("no such length");
        const times = length.base + this.take(length.extra);
        const distance = DISTANCES[this.decode(distances)] ?? this.fault("no such distance");
        const back = distance.base + this.take(distance.extra);
        if (back > this.length) this.fault("a match before the beginning");
        for (let i = 0; i < times; i++) this.put(this.out[this.length - back]);
      }
    }
  }
}

// ---- §9 The picture, §10 reproducible -----------------------------------------------------------------------------

/** @param {{[name: string]: Tensor}} tensors @returns {{[name: string]: Layer}} */
const synthesisLayers = (tensors) => ({
  "g_s.0": transposed(tensors, "g_s.0"),
  "g_s.1": squares(tensors, "g_s.1"),
  "g_s.2": transposed(tensors, "g_s.2"),
  "g_s.3": squares(tensors, "g_s.3"),
  "g_s.4": transposed(tensors, "g_s.4"),
  "g_s.5": squares(tensors, "g_s.5"),
  "g_s.6": transposed(tensors, "g_s.6"),
});

/**
 * A GDN or its inverse.
 * @param {Network} network @param {string} name @param {Rows} input @param {number} rows @param {number} columns
 * @param {(a: number, root: number) => number} out a_i / √… (§12) or a_i · √… (§9)
 * @returns {Rows}
 */
function normalized(network, name, input, rows, columns, out) {
  const { heap, patches } = network;
  const layer = network.layers[name];
  const N = layer.inputs;
  return computed(rows, columns, N, (row, line) => {
    const a = input(row);
    for (let first = 0; first < columns; first += STRIP) {
      const n = Math.min(STRIP, columns - first);
      const from = (2 + first) * N;
      for (let i = 0; i < n * N; i++) heap[patches + i] = a[from + i] * a[from + i];
      const roots = outputs(network, layer, layer.phases[0], n, Math.sqrt);
      for (let i = 0; i < n * N; i++) line[from + i] = out(a[from + i], roots[i]);
    }
  });
}

/**
 * x_hat = g_s(y_hat)
 * @param {Model} model @param {Rows} y_hat (M, 4h, 4w) @param {number} h @param {number} w
 * @returns {Rows} (3, 64h, 64w)
 */
function synthesis(model, y_hat, h, w) {
  const network = model.g_s();
  let a = y_hat;
  for (let i = 0, scale = 8; i < 8; i += 2, scale *= 2) {
    a = convolved(network, `g_s.${i}`, a, scale * h, scale * w, network.arithmetic.out);
    if (i < 6) a = normalized(network, `g_s.${i + 1}`, a, scale * h, scale * w, (v, root) => v * root);
  }
  return a;
}

/**
 * The picture of latents. Its samples are the reproducible ones.
 * @param {Model} model
 * @param {Int32Array} y_hat (M, 4h, 4w), in units of 2^-10
 * @param {number} height @param {number} width in pixels
 * @param {Watch} watch hears of "g_s"
 * @returns {Uint8Array<ArrayBuffer>} (height, width, 3): red, green, blue
 * @throws {RangeError} if the sizes don't fit
 */
export function picture(model, y_hat, height, width, watch = () => {}) {
  const { h, w } = blocks(height, width);
  if (y_hat.length !== model.M * 16 * h * w) {
    throw new RangeError(`y_hat has ${y_hat.length} values; (M, 4h, 4w) of ${height}×${width} pixels are needed`);
  }
  const x_hat = synthesis(model, rowsOf(y_hat, model.M, 4 * h, 4 * w, (v) => v / 2 ** 10), h, w);
  const samples = new Uint8ClampedArray(height * width * 3); // clamps, and rounds ties to even
  for (let row = 0; row < height; row++) {
    const line = x_hat(row);
    const at = row * width * 3;
    for (let i = 0; i < width * 3; i++) samples[at + i] = line[6 + i] * 255;
    watch("g_s", (row + 1) / height);
  }
  return new Uint8Array(samples.buffer);
}

/** Arrays of §14 are float32. @param {number} channels @param {number} rows @param {number} columns */
const float32 = (channels, rows, columns) => new Float32Array(channels * rows * columns);

/**
 * @param {Model} model @param {Float32Array} y_hat (M, 4h, 4w) @param {number} h @param {number} w
 * @returns {Float32Array} x_hat, (3, 64h, 64w), neither clamped nor cropped
 */
export function g_s(model, y_hat, h, w) {
  const x_hat = synthesis(model, rowsOf(y_hat, model.M, 4 * h, 4 * w), h, w);
  return collect(float32(3, 64 * h, 64 * w), x_hat, 64 * h, 64 * w);
}

// ---- §12 The encoder ----------------------------------------------------------------------------------------------

/** @param {{[name: string]: Tensor}} tensors @returns {{[name: string]: Layer}} */
const analysisLayers = (tensors) => ({
  "g_a.0": convolution(tensors, "g_a.0", 2),
  "g_a.1": squares(tensors, "g_a.1"),
  "g_a.2": convolution(tensors, "g_a.2", 2),
  "g_a.3": squares(tensors, "g_a.3"),
  "g_a.4": convolution(tensors, "g_a.4", 2),
  "g_a.5": squares(tensors, "g_a.5"),
  "g_a.6": convolution(tensors, "g_a.6", 2),
});

/** @param {{[name: string]: Tensor}} tensors @returns {{[name: string]: Layer}} */
const hyperAnalysisLayers = (tensors) => ({
  "h_a.0": convolution(tensors, "h_a.0", 1),
  "h_a.2": convolution(tensors, "h_a.2", 2),
  "h_a.4": convolution(tensors, "h_a.4", 2),
});

/**
 * y = g_a(x), rounded to float32
 * @param {Model} model @param {Rows} x (3, 64h, 64w) @param {number} h @param {number} w
 * @param {Watch} watch
 * @returns {Float32Array} (M, 4h, 4w)
 */
function analysis(model, x, h, w, watch = () => {}) {
  const network = model.g_a();
  let a = x;
  for (let i = 0, scale = 32; i < 8; i += 2, scale /= 2) {
    a = convolved(network, `g_a.${i}`, a, scale * h, scale * w, network.arithmetic.out);
    if (i < 6) a = normalized(network, `g_a.${i + 1}`, a, scale * h, scale * w, (v, root) => v / root);
  }
  return collect(float32(model.M, 4 * h, 4 * w), a, 4 * h, 4 * w, (row) => watch("g_a", (row + 1) / (4 * h)));
}

/**
 * @param {Model} model @param {Float32Array} x (3, 64h, 64w), in [0, 1] @param {number} h @param {number} w
 * @returns {Float32Array} y, (M, 4h, 4w)
 */
export const g_a = (model, x, h, w) => analysis(model, rowsOf(x, 3, 64 * h, 64 * w), h, w);

/**
 * z = h_a(y), rounded to float32
 * @param {Model} model @param {Float32Array} y (M, 4h, 4w) @param {number} h @param {number} w
 * @param {Watch} watch hears of "h_a"
 * @returns {Float32Array} (N, h, w)
 */
export function h_a(model, y, h, w, watch = () => {}) {
  const network = model.h_a();
  const { out, leaky } = network.arithmetic;
  const first = convolved(network, "h_a.0", rowsOf(y, model.M, 4 * h, 4 * w), 4 * h, 4 * w, leaky);
  const second = convolved(network, "h_a.2", first, 2 * h, 2 * w, leaky);
  const z = convolved(network, "h_a.4", second, h, w, out);
  return collect(float32(model.N, h, w), z, h, w, (row) => watch("h_a", (row + 1) / h));
}

/** Y = saturate(⌊y · 2^10⌋)  @param {number} y */
const units = (y) => saturate(Math.floor(y * 2 ** 10));

/** k = ⌊(Y - mu + 2^9) / 2^10⌋  @param {number} Y @param {number} mu */
const symbolOf = (Y, mu) => Math.floor((Y - mu + 2 ** 9) / 2 ** 10);

/**
 * Makes symbols of y in closed loop.
 * @param {Model} model
 * @param {Int32Array} k_z (N, h, w) @param {Float32Array} y (M, 4h, 4w) @param {number} h @param {number} w
 * @param {Watch} watch hears of "h_s" and "latents"
 * @returns {{mu: Int32Array, index: Int32Array, k: Int32Array, y_hat: Int32Array, order: Int32Array,
 *   bitsY: Float64Array, bitsZ: Float64Array}} mu, index, k and y_hat are (M, 4h, 4w), mu and y_hat in units of 2^-10;
 *   order: the elements of these in the order of §3
 */
export function exactSymbols(model, k_z, y, h, w, watch = () => {}) {
  const [mu, index, k, order] = Array.from({ length: 4 }, () => new Int32Array(y.length));
  let coded = 0;
  const latents = closedLoop(
    model,
    k_z,
    h,
    w,
    (table, mean, at) => {
      order[coded++] = at;
      index[at] = table;
      mu[at] = mean;
      k[at] = symbolOf(units(y[at]), mean);
      return k[at];
    },
    watch,
  );
  return { mu, index, k, order, ...latents };
}

/**
 * Encodes a picture. The stream is the reproducible one.
 * @param {Model} model
 * @param {Uint8Array | Uint8ClampedArray} image (height, width, 3): red, green, blue
 * @param {number} height @param {number} width in pixels
 * @param {Watch} watch hears of "g_a", "h_a", "h_s" and "latents"
 * @returns {Latents & {stream: Uint8Array<ArrayBuffer>}}
 * @throws {RangeError} if the format can't hold the picture, or the model gives latents that aren't finite
 */
export function encode(model, image, height, width, watch = () => {}) {
  const sides = [height, width].every((side) => Number.isInteger(side) && side >= 1 && side <= 65535);
  if (!sides || height * width > PIXELS) {
    throw new RangeError(`a picture of ${height}×${width} pixels: use sides of 1 to 65535, and 2^25 pixels at most`);
  }
  if (image.length !== height * width * 3) {
    throw new RangeError(`${image.length} samples: pass height · width · 3 = ${height * width * 3}`);
  }
  const { h, w } = blocks(height, width);
  // x[c, i, j] = picture[min(i, H - 1), min(j, W - 1), c] / 255, as float32
  const x = computed(64 * h, 64 * w, 3, (row, line) => {
    for (let j = 0; j < 64 * w; j++) {
      const from = 3 * (Math.min(row, height - 1) * width + Math.min(j, width - 1));
      for (let c = 0; c < 3; c++) line[3 * (2 + j) + c] = Math.fround(image[from + c] / 255);
    }
  });
  const y = analysis(model, x, h, w, watch);
  const z = h_a(model, y, h, w, watch);
  if (![y, z].every((latents) => latents.every(Number.isFinite))) {
    throw new RangeError("this model gives this picture latents that aren't finite: use another model");
  }
  const channel = Int32Array.from(z, (_, i) => Math.floor(i / (h * w)));
  const k_z = Int32Array.from(z, (v, i) => symbolOf(units(v), model.gridMedians[channel[i]]));
  const { index, k, order, ...latents } = exactSymbols(model, k_z, y, h, w, watch);
  const writer = new Writer();
  for (let i = order.length - 1; i >= 0; i--) writer.symbol(model.yTables, index[order[i]], k[order[i]]);
  for (let i = k_z.length - 1; i >= 0; i--) writer.symbol(model.zTables, channel[i], k_z[i]);
  const { y_hat, bitsY, bitsZ } = latents;
  return { height, width, y_hat, bitsY, bitsZ, stream: written(model, height, width, writer.bytes()) };
}

/** @param {Model} model @param {number} height @param {number} width @param {Uint8Array} payload */
function written(model, height, width, payload) {
  const header = new Uint8Array(HEADER);
  header.set([...MAGIC, VERSION, ...Array.from({ length: 8 }, (_, i) => parseInt(model.fingerprint.substr(2 * i, 2), 16))]);
  const view = viewOf(header);
  view.setUint16(12, height, true);
  view.setUint16(14, width, true);
  view.setUint32(16, crc32(header.subarray(0, 16), payload), true);
  return joined(header, payload);
}

// ---- §13 The float model and its likelihoods ----------------------------------------------------------------------

/** @param {number} v @returns {number} the nearest integer; ties go to the even one */
function round(v) {
  const floor = Math.floor(v);
  const rest = v - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/**
 * psi, phi, sigma and mu of the float model, latents given.
 * @param {Model} model
 * @param {Float32Array} z_hat (N, h, w) @param {Float32Array} y_hat (M, 4h, 4w) @param {number} h @param {number} w
 * @returns {{psi: Float32Array, phi: Float32Array, sigma: Float32Array, mu: Float32Array}} (2M, 4h, 4w) twice, and
 *   (M, 4h, 4w) twice
 */
export function parameters(model, z_hat, y_hat, h, w) {
  const [z, y] = [rowsOf(z_hat, model.N, h, w), rowsOf(y_hat, model.M, 4 * h, 4 * w)];
  return teacherForced(model.float(), z, y, h, w, (length) => new Float32Array(length));
}

/**
 * The same of the exact networks, in integers.
 * @param {Model} model
 * @param {Int32Array} k_z (N, h, w) @param {Int32Array} y_hat (M, 4h, 4w), in units of 2^-10
 * @param {number} h @param {number} w
 * @returns {{z_hat: Int32Array, psi: Int32Array, phi: Int32Array, sigma: Int32Array, mu: Int32Array,
 *   index: Int32Array}} shapes as of `parameters`, in units of 2^-10; index (M, 4h, 4w): the table of each latent
 */
export function exactParameters(model, k_z, y_hat, h, w) {
  const y = rowsOf(y_hat, model.M, 4 * h, 4 * w);
  const integers = (/** @type {number} */ length) => new Int32Array(length);
  const found = teacherForced(model.exact(), zHat(model, k_z, h, w), y, h, w, integers);
  const z_hat = collect(new Int32Array(k_z.length), zHat(model, k_z, h, w), h, w);
  return { z_hat, ...found, index: found.sigma.map((sigma) => below(model.thresholds, sigma)) };
}

/**
 * The open-loop pass.
 * @param {Model} model @param {Float32Array} x (3, 64h, 64w), in [0, 1] @param {number} h @param {number} w
 * @returns {{z_hat: Float32Array, z_likelihoods: Float32Array, y_hat: Float32Array, y_likelihoods: Float32Array,
 *   x_hat: Float32Array}} (N, h, w) twice, (M, 4h, 4w) twice, (3, 64h, 64w)
 */
export function forward(model, x, h, w) {
  const y = g_a(model, x, h, w);
  const z = h_a(model, y, h, w);
  const y_hat = y.map(round);
  const z_hat = z.map((v, i) => {
    const median = model.medians[Math.floor(i / (h * w))];
    return round(v - median) + median;
  });
  const { sigma, mu } = parameters(model, z_hat, y_hat, h, w);
  return {
    z_hat,
    z_likelihoods: factorizedLikelihoods(model, z_hat),
    y_hat,
    y_likelihoods: gaussianLikelihoods(y, mu, sigma),
    x_hat: g_s(model, y_hat, h, w),
  };
}

const FLOOR = 1e-9;

/**
 * erfc(t) for t >= 0, to 13 digits: a series of positive terms near 0, a continued fraction beyond.
 * @param {number} t
 */
function erfc(t) {
  const scale = Math.exp(-t * t) / Math.sqrt(Math.PI);
  if (t < 2) {
    let sum = 0;
    for (let n = 0, term = 2 * t; term > 1e-18; n++, term *= (2 * t * t) / (2 * n + 1)) sum += term;
    return 1 - scale * sum;
  }
  let fraction = t;
  for (let n = 80; n > 0; n--) fraction = t + n / 2 / fraction;
  return scale / fraction;
}

// Φ(t) = erfc(-t / √2) / 2
const normal = (/** @type {number} */ t) => (t < 0 ? erfc(-t / Math.SQRT2) / 2 : 1 - erfc(t / Math.SQRT2) / 2);

/**
 * likelihood of y = max(10^-9, Φ((1/2 - |r|) / s) - Φ((-1/2 - |r|) / s)),  r = round(y - mu),  s = max(sigma, 0.11)
 * @param {Float32Array} y @param {Float32Array} mu @param {Float32Array} sigma of one shape
 * @returns {Float32Array} of the same shape
 */
export const gaussianLikelihoods = (y, mu, sigma) =>
  y.map((v, i) => {
    const r = Math.abs(round(v - mu[i]));
    const s = Math.max(sigma[i], 0.11);
    return Math.max(FLOOR, normal((0.5 - r) / s) - normal((-0.5 - r) / s));
  });

/**
 * likelihood of z = max(10^-9, P(z_hat + 1/2) - P(z_hat - 1/2)), P being the density of each channel
 * @param {Model} model @param {Float32Array} z_hat (N, h, w) @returns {Float32Array} (N, h, w)
 */
export function factorizedLikelihoods(model, z_hat) {
  const area = z_hat.length / model.N;
  const densities = Array.from({ length: model.N }, (_, c) => density(model, c));
  return z_hat.map((v, i) => {
    const P = densities[Math.floor(i / area)];
    return Math.max(FLOOR, P(v + 0.5) - P(v - 0.5));
  });
}

/** @param {Model} model @param {number} channel @returns {(v: number) => number} P of a channel */
function density({ tensors }, channel) {
  const layers = Array.from({ length: 5 }, (_, i) => {
    /** @param {string} name @param {(v: number) => number} of @returns {number[]} the channel's part */
    const part = (name, of) => {
      const tensor = tensors[`entropy_bottleneck.${name}.${i}`];
      const length = tensor.values.length / tensor.shape[0];
      return Array.from(tensor.values.slice(channel * length, (channel + 1) * length), of);
    };
    const softplus = (/** @type {number} */ a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
    const factors = i < 4 ? part("factors", Math.tanh) : null;
    return { matrix: part("matrices", softplus), biases: part("biases", (v) => v), factors };
  });
  return (value) => {
    let v = [value];
    for (const { matrix, biases, factors } of layers) {
      // v = softplus(matrices_i) · v + biases_i, and for i < 4 then v = v + tanh(factors_i) · tanh(v)
      const sums = biases.map((bias, o) => v.reduce((sum, one, j) => sum + matrix[o * v.length + j] * one, bias));
      v = factors ? sums.map((sum, o) => sum + factors[o] * Math.tanh(sum)) : sums;
    }
    return 1 / (1 + Math.exp(-v[0]));
  };
}
