/** A codec of mbt2018 streams (`.mbt`, version 1) for Node and browsers, written from docs/specification.md alone.
 * Read it beside that page: headings name its sections (§), and a formula stands above the line that computes it. All
 * numbers are float64: whole ones below 2^53 in the entropy path (§2), where nothing is rounded, and any in the
 * transforms, so that bytes and pixels are the reproducible ones (§10).
 *
 * Arrays that come in or go out are in C order. Shapes such as (M, 4h, 4w) stand in comments: h and w count blocks of
 * 64×64 pixels. Inside, a tensor is a `Plane`, which gives one row at a time. A layer asks the layer before it for the
 * rows that it needs, and keeps the last few. So memory grows with the width of a picture, and not with its area.
 * @typedef {{rows: number, columns: number, channels: number, row: (i: number) => Float64Array}} Plane
 *   `row` gives row i between two columns of zeros on either side, channels last: (columns + 4, channels). Outside of
 *   the plane it gives zeros. Rows are asked from the top down.
 * @typedef {(part: string, share: number) => void} Watch hears that the work since its last call was that of `part`
 *   ("g_a", "h_a", "h_s", "latents" or "g_s"), which is now done to `share`, 0 to 1
 * @typedef {{height: number, width: number, y_hat: Int32Array, bitsY: Float64Array, bitsZ: Float64Array}} Latents
 *   of a picture of height × width pixels: y_hat (M, 4h, 4w) in units of 2^-10; bitsY (4h, 4w) and bitsZ (h, w), the
 *   bits that the symbols of all channels cost at a position
 * @typedef {ReturnType<typeof readModel>} Model
 * @typedef {{[name: string]: {shape: number[], values: Float32Array | Int32Array}}} Tensors
 * @typedef {Uint8Array<ArrayBuffer>} Bytes
 * @typedef {ArrayLike<number>} Numbers
 * @typedef {(v: number) => number} Scalar */

/** Bytes that break a rule of the format: of `kind` (§§7 and 8), met at byte `offset`, which is for people. */
export class BitstreamError extends Error {
  /** @param {string} kind @param {number} offset @param {string} message */
  constructor(kind, offset, message) {
    super(`${kind} at byte ${offset}: ${message}`);
    this.name = "BitstreamError";
    this.kind = kind;
    this.offset = offset;
  }
}
/** @type {(kind: string, offset: number, message: string) => never} */
function refuse(kind, offset, message) {
  throw new BitstreamError(kind, offset, message);
}

// ---- Bytes, SHA-256, CRC-32 --------------------------------------------------------------------------------------
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
/** @type {(bytes: Bytes, size: number) => Bytes} values in this machine's order become little-endian, or back */
function reordered(bytes, size) {
  for (let at = 0; !IS_LITTLE_ENDIAN && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  return bytes;
}

/** The bytes of a typed array in little-endian order, on any machine: a copy.
 * @param {Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array} array */
export const littleEndian = ({ buffer, byteOffset, byteLength, BYTES_PER_ELEMENT }) =>
  reordered(new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength)), BYTES_PER_ELEMENT);
/** @type {(bytes: Uint8Array) => DataView} */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
/** @type {(first: Uint8Array, second: Uint8Array) => Bytes} */
const joined = (first, second) => new Uint8Array([...first, ...second]);

/** @type {(count: number, root: Scalar) => Int32Array} 32 bits behind the points of the first primes' roots */
function fractions(count, root) {
  const primes = [2];
  for (let n = 3; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return Int32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32);
}
const ROUNDS = fractions(64, Math.cbrt); // 45 bits of a root are right on any machine, and more than the 35 of these

/** @type {(x: number, n: number) => number} */
const turned = (x, n) => (x >>> n) | (x << (32 - n));
/** SHA-256 (FIPS 180-4), 64 hexadecimal digits. That of a browser is only there for pages that come over https.
 * @param {Uint8Array} bytes */
export function sha256(bytes) {
  const [hash, w] = [fractions(8, Math.sqrt), new Int32Array(64)];
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  const view = viewOf(padded);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const low = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const high = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const chosen = (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g));
      const voted = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      const next = h + chosen + ROUNDS[i] + w[i];
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + next) | 0, c, b, a, (next + voted) | 0];
    }
    for (const [i, v] of [a, b, c, d, e, f, g, h].entries()) hash[i] += v;
  }
  return Array.from(hash, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** @type {(...parts: Uint8Array[]) => number} the CRC-32 of §6, of all parts one after the other */
function crc32(...parts) {
  let crc = 0xffffffff;
  for (const part of parts)
    for (let bit = 0; bit < 8 * part.length; bit++) {
      if (bit % 8 === 0) crc ^= part[bit / 8];
      crc = (crc >>> 1) ^ (0xedb88320 * (crc & 1));
    }
  return (crc ^ 0xffffffff) >>> 0;
}

// ---- The loop that takes the time ----------------------------------------------------------------------------------
/** A heap holds weights and operands. For n rows of patches, and places that are indexes of the heap,
 *
 *     out[p, c] = bias[c] + Σ_i patches[p, i] · weights[i, c]          from i = 0 upwards, each step rounded
 *
 * n is even, and `outputs` is a multiple of 4. Weights come in panels, (outputs / 4, length, 4): registers hold one.
 * @type {(heap: Float64Array, patches: number, n: number, length: number, weights: number, outputs: number, bias: number,
 *   out: number) => void} */
function multiply(heap, patches, n, length, weights, outputs, bias, out) {
  for (let p = 0; p < n; p += 2) {
    for (let c = 0; c < outputs; c += 4) {
      let [s0, s1, s2, s3] = heap.subarray(bias + c, bias + c + 4);
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
      heap.set([s0, s1, s2, s3], out + p * outputs + c);
      heap.set([t0, t1, t2, t3], out + (p + 1) * outputs + c);
    }
  }
}

// ---- §1 Model ----------------------------------------------------------------------------------------------------
/** @type {(file: Uint8Array) => Tensors} of a safetensors file: 8 bytes with the header's length, header, tensors */
function safetensors(file) {
  const start = 8 + Number(viewOf(file).getBigUint64(0, true));
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  const entries = Object.entries(header).map(([name, { dtype, shape, data_offsets: ends }]) => {
    const { buffer } = reordered(new Uint8Array(file.subarray(start + ends[0], start + ends[1])), 4);
    const size = shape.reduce((/** @type {number} */ bytes, /** @type {number} */ side) => bytes * side, 4);
    if (buffer.byteLength !== size) throw new RangeError(`${name} isn't whole: use another model file`);
    return [name, { shape, values: dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer) }];
  });
  return Object.fromEntries(entries);
}
/** @typedef {(v: Numbers, bits: number) => Numbers} Grid
 * @type {Grid} round(v · 2^bits) */
const onGrid = (v, bits) => Float64Array.from(v, (one) => Math.floor(one * 2 ** bits + 0.5));
/** Makes a model ready (§§1, 2, 4): N and M, the channels of z and y; fingerprint, 16 hexadecimal digits; and what the
 * codec needs. Networks are made when they are first needed.
 * @param {Uint8Array} file the model's safetensors file
 * @param {Uint8Array} gaussian the file gaussian.safetensors */
export function readModel(file, gaussian) {
  const [tensors, y] = [safetensors(file), safetensors(gaussian)];
  const medians = tensors["entropy_bottleneck.quantiles"].values.filter((_, i) => i % 3 === 1);
  /** @type {(arithmetic: Arithmetic, which: RegExp, grid?: Grid) => () => Network} */
  const lazily = (arithmetic, which, grid = (v) => v) => {
    let made = /** @type {Network | undefined} */ (undefined);
    return () => {
      made ??= network(arithmetic, layersOf(tensors, which, grid));
      return made;
    };
  };
  return {
    tensors,
    N: tensors["g_a.0.weight"].shape[0],
    M: tensors["g_a.6.weight"].shape[0],
    fingerprint: sha256(file).slice(0, 16),
    medians, // (N), as in the file
    gridMedians: onGrid(medians, 10), // in units of 2^-10
    zTables: tablesIn(tensors, "entropy_bottleneck."),
    yTables: tablesIn(y, ""),
    thresholds: y.thresholds.values,
    exact: lazily(EXACT, /^(h_s|context|entropy_p)/, onGrid),
    float: lazily(FLOAT, /^(h_s|context|entropy_p)/),
    g_a: lazily(FLOAT, /^g_a/),
    h_a: lazily(FLOAT, /^h_a/),
    g_s: lazily(FLOAT, /^g_s/),
  };
}

// ---- §2 Layers, exact or float -----------------------------------------------------------------------------------
/** @type {Scalar} to [-2^22, 2^22 - 1] */
const saturate = (v) => Math.max(-(2 ** 22), Math.min(v, 2 ** 22 - 1));
/** @type {Scalar} out = saturate(round(sum / 2^14)) */
const requantized = (sum) => saturate(Math.floor(sum / 2 ** 14 + 0.5));
/** @type {Scalar} a negative out becomes round(out · 1311 / 2^17) */
const leaky = (out) => (out < 0 ? Math.floor((out * 1311) / 2 ** 17 + 0.5) : out);
/** @typedef {{out: Scalar, leaky: Scalar}} Arithmetic what becomes of a sum, without and with a LeakyReLU
 * @type {Arithmetic} sums in units of 2^-24 become outputs in units of 2^-10 */
const EXACT = { out: requantized, leaky: (sum) => leaky(requantized(sum)) };
/** @type {Arithmetic} */
const FLOAT = { out: (sum) => sum, leaky: (sum) => (sum < 0 ? sum * 0.01 : sum) };
/** A layer. Its output row up · q + a and column up · r + b belong to phase (a, b): `up` is 2 if it is transposed, and 1
 * if it is a convolution. A run has the `count` inputs of row stride · q + row from column stride · r + column on, and
 * `weight` is that of the input at row stride · q + row and column stride · r + column.
 * @typedef {{row: number, column: number, count: number}} Run
 * @typedef {(output: number, input: number, row: number, column: number) => number} Weight
 * @typedef {ReturnType<typeof layerOf>} Layer padded: outputs, up to a multiple of 4; place: of the bias in the heap
 * @typedef {Layer["phases"][0]} Phase length: the inputs of an output; place: of the weights in the heap
 * @typedef {ReturnType<typeof network>} Network
 * @param {Numbers} bias (outputs) @param {number} inputs @param {number} stride @param {number} up
 * @param {[Run[], Weight][]} parts of the phases (0, 0), (0, 1), (1, 0), (1, 1), or the only one */
function layerOf(bias, inputs, stride, up, parts) {
  const phases = parts.map(([runs, weight]) => {
    return { runs, weight, length: inputs * runs.reduce((sum, { count }) => sum + count, 0), place: 0 };
  });
  const [outputs, padded] = [bias.length, 4 * Math.ceil(bias.length / 4)];
  return { inputs, outputs, padded, stride, up, phases, bias, place: 0 };
}

/** @type {(w: Numbers, bias: Numbers, shape: number[], stride: number, counts: number[]) => Layer} counts: of taps, by row */
function convolution(w, bias, [, inputs, K], stride, counts) {
  const p = (K - 1) / 2;
  const runs = counts.map((count, i) => ({ row: i - p, column: -p, count }));
  // out[c', o] = bias[c'] + Σ_c Σ_i in[c, s · o + i - p] · weight[c', c, i]
  /** @type {Weight} */
  const weight = (output, input, row, column) => w[((output * inputs + input) * K + row + p) * K + column + p];
  return layerOf(bias, inputs, stride, 1, [[runs, weight]]);
}

/** @type {(w: Numbers, bias: Numbers, shape: number[]) => Layer} */
function transposed(w, bias, [inputs, outputs, K]) {
  const near = [0, 1].map((a) => [-1, 0, 1].slice(a)); // 2q has the inputs q - 1, q, q + 1, and 2q + 1 has q, q + 1
  /** @type {(a: number, b: number) => [Run[], Weight]} */
  const phase = (a, b) => [
    near[a].map((row) => ({ row, column: near[b][0], count: near[b].length })),
    // out[c', o] = bias[c'] + Σ_c Σ_i in[c, i] · weight[c, c', o + 2 - 2i]
    (output, input, row, column) => w[((input * outputs + output) * K + a + 2 - 2 * row) * K + b + 2 - 2 * column],
  ];
  return layerOf(bias, inputs, 1, 2, [phase(0, 0), phase(0, 1), phase(1, 0), phase(1, 1)]);
}

/** @type {(b: Numbers, g: Numbers) => Layer} beta_i + Σ_j gamma_ij · a_j² of §9, of a_j² */
function normalization(b, g) {
  // beta = max(b, √(10^-6 + 2^-36))² - 2^-36,  gamma = max(g, 2^-18)² - 2^-36
  /** @type {(v: number, least: number) => number} */
  const parameter = (v, least) => Math.max(v, least) * Math.max(v, least) - 2 ** -36;
  const beta = Array.from(b, (v) => parameter(v, Math.sqrt(1e-6 + 2 ** -36)));
  const gamma = /** @type {Weight} */ ((i, j) => parameter(g[i * b.length + j], 2 ** -18));
  return layerOf(beta, b.length, 1, 1, [[[{ row: 0, column: 0, count: 1 }], gamma]]);
}

/** @type {(tensors: Tensors, which: RegExp, grid: Grid) => {[name: string]: Layer}} those with names of `which` */
function layersOf(tensors, which, grid) {
  /** @type {(name: string) => Layer} */
  const layer = (name) => {
    const of = (/** @type {string} */ tensor) => tensors[`${name}.${tensor}`];
    if (of("beta")) return normalization(of("beta").values, of("gamma").values);
    const [w, bias, shape] = [grid(of("weight").values, 14), grid(of("bias").values, 24), of("weight").shape];
    if (name === "context_prediction") return convolution(w, bias, shape, 1, [5, 5, 2]);
    if (shape[2] < 5) return convolution(w, bias, shape, 1, new Array(shape[2]).fill(shape[2]));
    return /^._s/.test(name) ? transposed(w, bias, shape) : convolution(w, bias, shape, 2, [5, 5, 5, 5, 5]);
  };
  const names = Object.keys(tensors).filter((name) => which.test(name) && /\.(weight|beta)$/.test(name));
  return Object.fromEntries(names.map((name) => name.replace(/\.\w+$/, "")).map((name) => [name, layer(name)]));
}
const STRIP = 32; // positions of one product: so many patches stay in a cache

/** Places layers in a heap.
 * @param {Arithmetic} arithmetic @param {{[name: string]: Layer}} layers */
function network(arithmetic, layers) {
  const all = Object.values(layers);
  let [size, longest] = [0, 0];
  const reserved = (/** @type {number} */ count) => {
    size += count;
    return size - count;
  };
  for (const layer of all) {
    layer.place = reserved(layer.padded);
    for (const phase of layer.phases) {
      phase.place = reserved(layer.padded * phase.length);
      longest = Math.max(longest, phase.length);
    }
  }
  const patches = reserved(STRIP * longest);
  const out = reserved(STRIP * Math.max(...all.map(({ padded }) => padded)));
  const heap = new Float64Array(size);
  for (const layer of all) {
    heap.set(layer.bias, layer.place);
    for (const phase of layer.phases) fill(heap, layer, phase);
  }
  return { heap, arithmetic, layers, patches, out };
}

/** @type {(heap: Float64Array, layer: Layer, phase: Phase) => void} puts the weights in panels, (outputs / 4, length, 4) */
function fill(heap, { inputs, outputs }, { runs, weight, length, place }) {
  for (let c = 0; c < outputs; c++) {
    let at = place + (c - (c % 4)) * length + (c % 4);
    for (const { row, column, count } of runs)
      for (let j = column; j < column + count; j++)
        for (let i = 0; i < inputs; i++, at += 4) heap[at] = weight(c, i, row, j);
  }
}

/** Puts the inputs of one position, the p-th below STRIP, where `multiply` reads them. `lines` has a row for each run.
 * @type {(network: Network, layer: Layer, phase: Phase, lines: Float64Array[], column: number, p: number) => void} */
function gather({ heap, patches }, { inputs }, { runs, length }, lines, column, p) {
  for (let r = 0, at = patches + p * length; r < runs.length; r++) {
    const [line, from] = [lines[r], (2 + column + runs[r].column) * inputs];
    for (let i = from, end = from + runs[r].count * inputs; i < end; i++) heap[at++] = line[i];
  }
}

/** The outputs at the n positions that were gathered, as `after` makes them of sums: (n, outputs).
 * @type {(network: Network, layer: Layer, phase: Phase, n: number, after: Scalar) => Float64Array} */
function outputsOf({ heap, patches, out }, { outputs, padded, place }, phase, n, after) {
  multiply(heap, patches, n + (n % 2), phase.length, phase.place, padded, place, out);
  const result = new Float64Array(n * outputs);
  for (let p = 0, at = 0; p < n; p++)
    for (let c = 0; c < outputs; c++) result[at++] = after(heap[out + p * padded + c]);
  return result;
}

/** A plane whose rows are computed when they are asked for. `compute` writes row i from element 2 · channels on, behind
 * the zeros. Eight rows are kept, since a kernel covers five.
 * @type {(rows: number, columns: number, channels: number, compute: (i: number, line: Float64Array) => void) => Plane} */
function computed(rows, columns, channels, compute) {
  const outside = new Float64Array((columns + 4) * channels);
  const lines = Array.from({ length: Math.min(8, rows) }, () => ({ of: -1, line: outside.slice() }));
  const row = (/** @type {number} */ i) => {
    if (i < 0 || i >= rows) return outside;
    const kept = lines[i % lines.length];
    if (kept.of !== i) compute(i, kept.line);
    kept.of = i;
    return kept.line;
  };
  return { rows, columns, channels, row };
}

/** @type {(network: Network, name: string, input: Plane, after: Scalar) => Plane} the outputs of a layer */
function convolved(network, name, input, after) {
  const layer = network.layers[name];
  const { stride, up, outputs, phases } = layer;
  const [rows, columns] = [input.rows / stride, input.columns / stride]; // of a phase
  return computed(up * rows, up * columns, outputs, (i, line) => {
    for (let b = 0; b < up; b++) {
      const phase = phases[(i % up) * up + b];
      const lines = phase.runs.map(({ row }) => input.row(stride * Math.floor(i / up) + row)); // before the heap is used
      for (let first = 0; first < columns; first += STRIP) {
        const n = Math.min(STRIP, columns - first);
        for (let p = 0; p < n; p++) gather(network, layer, phase, lines, stride * (first + p), p);
        const out = outputsOf(network, layer, phase, n, after);
        for (let p = 0; p < n; p++)
          line.set(out.subarray(p * outputs, (p + 1) * outputs), (2 + up * (first + p) + b) * outputs);
      }
    }
  });
}

/** @type {(network: Network, name: "g_a" | "g_s", input: Plane) => Plane} four layers, with a GDN after each of three */
function transformed(network, name, input) {
  const gdn = /** @type {Gdn} */ (name === "g_a" ? (a, root) => a / root : (a, root) => a * root);
  let a = input;
  for (let i = 0; i < 7; i += 2) {
    a = convolved(network, `${name}.${i}`, a, network.arithmetic.out);
    if (i < 6) a = normalized(network, `${name}.${i + 1}`, a, gdn);
  }
  return a;
}

/** The GDN of §12, a / root, or its inverse of §9, a · root, of the √ of the sum.
 * @typedef {(a: number, root: number) => number} Gdn
 * @type {(network: Network, name: string, input: Plane, gdn: Gdn) => Plane} */
function normalized(network, name, input, gdn) {
  const { rows, columns, channels } = input;
  const squares = computed(rows, columns, channels, (i, line) => line.set(input.row(i).map((a) => a * a)));
  const roots = convolved(network, name, squares, Math.sqrt);
  return computed(rows, columns, channels, (i, line) => {
    const [a, root] = [input.row(i), roots.row(i)];
    for (let at = 2 * channels; at < (2 + columns) * channels; at++) line[at] = gdn(a[at], root[at]);
  });
}

/** The plane of an array, (channels, rows, columns), whose values become what `of` gives.
 * @param {Numbers} array @param {number} channels @param {number} rows @param {number} columns
 * @param {(v: number, channel: number) => number} of */
function planeOf(array, channels, rows, columns, of = (v) => v) {
  return computed(rows, columns, channels, (row, line) => {
    for (let c = 0; c < channels; c++) {
      let [from, to] = [(c * rows + row) * columns, 2 * channels + c];
      for (const end = from + columns; from < end; to += channels) line[to] = of(array[from++], c);
    }
  });
}

/** The array of a plane, (channels, rows, columns).
 * @template {Float32Array | Int32Array} A
 * @param {new (length: number) => A} Type @param {Plane} plane @param {(share: number) => void} done */
function arrayOf(Type, { rows, columns, channels, row }, done = () => {}) {
  const array = new Type(channels * rows * columns);
  for (let i = 0; i < rows; i++) {
    const line = row(i);
    for (let c = 0; c < channels; c++) {
      let [from, to] = [2 * channels + c, (c * rows + i) * columns];
      for (const end = to + columns; to < end; from += channels) array[to++] = line[from];
    }
    done((i + 1) / rows);
  }
  return array;
}

/** @type {(network: Network, name: "h_a" | "h_s", input: Plane) => Plane} three layers of §2 or §12 */
function hyperTransformed(network, name, input) {
  const { out, leaky } = network.arithmetic;
  const first = convolved(network, `${name}.0`, input, leaky);
  const second = convolved(network, `${name}.2`, first, leaky);
  return convolved(network, `${name}.4`, second, out);
}

/** context_prediction and entropy_parameters at STRIP positions or fewer: psi, phi, sigma and mu of each, 6M in all.
 * @param {Network} network @param {Float64Array[]} psi @param {Float64Array[]} y_hat @param {Float64Array} outside
 * @param {{row: number, column: number}[]} positions of rows of psi and y_hat; rows that y_hat lacks are `outside` */
function entropyParameters(network, psi, y_hat, outside, positions) {
  const { heap, layers, arithmetic, patches } = network;
  const [context, n, width] = [layers.context_prediction, positions.length, layers.context_prediction.outputs]; // 2M
  /** @type {(name: string, after: Scalar) => Float64Array} */
  const dense = (name, after) => outputsOf(network, layers[name], layers[name].phases[0], n, after);
  const all = positions.map(({ row, column }, p) => {
    const lines = context.phases[0].runs.map((run) => y_hat[row + run.row] ?? outside);
    gather(network, context, context.phases[0], lines, column, p);
    const found = new Float64Array(3 * width);
    found.set(psi[row].subarray((2 + column) * width, (3 + column) * width));
    return found;
  });
  const phi = dense("context_prediction", arithmetic.out);
  for (const [p, found] of all.entries()) {
    found.set(phi.subarray(p * width, (p + 1) * width), width);
    heap.set(found.subarray(0, 2 * width), patches + 2 * p * width);
  }
  heap.set(dense("entropy_parameters.0", arithmetic.leaky), patches);
  heap.set(dense("entropy_parameters.2", arithmetic.leaky), patches);
  const both = dense("entropy_parameters.4", arithmetic.out);
  for (const [p, found] of all.entries()) found.set(both.subarray(p * width, (p + 1) * width), 2 * width);
  return all;
}

// ---- §3 Latents and their order ----------------------------------------------------------------------------------
/** @type {(height: number, width: number) => [number, number]} h and w of a picture */
const blocksOf = (height, width) => [Math.ceil(height / 64), Math.ceil(width / 64)];
/** @type {(model: Model, k_z: Int32Array, h: number, w: number) => Plane} z_hat = saturate(k_z · 2^10 + median) */
const zHat = (model, k_z, h, w) =>
  planeOf(k_z, model.N, h, w, (k, c) => saturate(k * 2 ** 10 + model.gridMedians[c]));
/** Visits the latents y in the order of §3. At each, `settle` gives its value of y_hat from psi, phi, sigma and mu of its
 * position (6M), its channel, and its place, row · 4w + column. So a decoder, an encoder and a test differ in it alone.
 * @typedef {(found: Float64Array, channel: number, place: number) => number} Settle
 * @type {(network: Network, z_hat: Plane, settle: Settle, watch?: Watch) => Plane} y_hat */
function wavefronts(network, z_hat, settle, watch) {
  const synthesis = hyperTransformed(network, "h_s", z_hat);
  const { rows, columns } = synthesis;
  const M = synthesis.channels / 2;
  const outside = new Float64Array((columns + 4) * M);
  /** @type {Float64Array[][]} */
  const [psi, y_hat] = [[], []]; // rows that have begun; of psi only until they end
  const end = columns + 3 * (rows - 1);
  for (let t = 0; t < end; t++) {
    const [first, last] = [Math.max(0, Math.ceil((t - columns + 1) / 3)), Math.min(rows - 1, Math.floor(t / 3))];
    if (t === 3 * last) {
      [psi[last], y_hat[last]] = [synthesis.row(last).slice(), outside.slice()];
      watch?.("h_s", (last + 1) / rows);
    }
    if (first > 0) delete psi[first - 1];
    for (let top = first; top <= last; top += STRIP) {
      const length = Math.min(STRIP, last - top + 1);
      const positions = Array.from({ length }, (_, i) => ({ row: top + i, column: t - 3 * (top + i) }));
      const all = entropyParameters(network, psi, y_hat, outside, positions);
      for (const [p, { row, column }] of positions.entries())
        for (let c = 0; c < M; c++) y_hat[row][(2 + column) * M + c] = settle(all[p], c, row * columns + column);
    }
    watch?.("latents", (t + 1) / end);
  }
  return { rows, columns, channels: M, row: (i) => y_hat[i] };
}

/** The latents of a decoder or an encoder. `code` gives k of the latent at element `at` of (M, 4h, 4w), from its table
 * and its mean: a decoder reads it, an encoder makes it.
 * @typedef {(index: number, mu: number, at: number) => number} Code
 * @type {(model: Model, k_z: Int32Array, h: number, w: number, code: Code, watch: Watch) => Omit<Latents, "height" | "width">} */
function closedLoop(model, k_z, h, w, code, watch) {
  const [area, { M, yTables, zTables, thresholds }] = [16 * h * w, model];
  const [bitsY, bitsZ] = [new Float64Array(area), new Float64Array(h * w)];
  /** @type {Settle} y_hat = saturate(k · 2^10 + mu) */
  const settle = (found, c, place) => {
    const [index, mu] = [below(thresholds, found[4 * M + c]), found[5 * M + c]];
    const k = code(index, mu, c * area + place);
    bitsY[place] += bitsOf(yTables[index], k);
    return saturate(k * 2 ** 10 + mu);
  };
  const y_hat = wavefronts(model.exact(), zHat(model, k_z, h, w), settle, watch);
  for (const [i, k] of k_z.entries()) bitsZ[i % (h * w)] += bitsOf(zTables[Math.floor(i / (h * w))], k);
  return { y_hat: arrayOf(Int32Array, y_hat), bitsY, bitsZ };
}

/** psi and phi, (2M, 4h, 4w), sigma and mu, (M, 4h, 4w), where all latents are given.
 * @template {Float32Array | Int32Array} A
 * @param {new (length: number) => A} Type @param {Network} network @param {Plane} z_hat @param {Numbers} y_hat */
function teacherForced(Type, network, z_hat, y_hat) {
  const [area, n] = [16 * z_hat.rows * z_hat.columns, y_hat.length];
  const all = new Type(6 * n);
  wavefronts(network, z_hat, (found, c, place) => {
    for (let i = c; i < found.length; i += n / area) all[i * area + place] = found[i];
    return y_hat[c * area + place];
  });
  const part = (/** @type {number} */ i, /** @type {number} */ j) => /** @type {A} */ (all.slice(i * n, j * n));
  return { psi: part(0, 2), phi: part(2, 4), sigma: part(4, 5), mu: part(5, 6) };
}

/** Decodes the latents of a stream (§§1 to 7).
 * @param {Model} model @param {Uint8Array} stream @param {Watch} watch hears of "h_s" and "latents", which take turns
 * @returns {Latents}
 * @throws {BitstreamError} of the first check of §7 that fails */
export function decodeLatents(model, stream, watch = () => {}) {
  const { height, width, fingerprint, payload } = parse(stream);
  if (fingerprint !== model.fingerprint) refuse("unknown-model", 4, `${fingerprint}, not ${model.fingerprint}`);
  const [h, w] = blocksOf(height, width);
  const { symbol, finish } = reader(payload, HEADER);
  const k_z = new Int32Array(model.N * h * w).map((_, i) => symbol(model.zTables[Math.floor(i / (h * w))]));
  const latents = closedLoop(model, k_z, h, w, (index) => symbol(model.yTables[index]), watch);
  finish();
  return { height, width, ...latents };
}

// ---- §4 Tables ---------------------------------------------------------------------------------------------------
/** @typedef {{cdf: Numbers, offset: number, e: number}} Table cdf: c_0 to c_n; e: the bin of the escape, n - 1 */

/** The tables that ransEncode and ransDecode take, of the arrays of §4: cdf (T, L), length (T), offset (T).
 * @param {Int32Array | Float32Array} cdf @param {Numbers} length @param {Numbers} offset @returns {Table[]} */
export function tablesOf(cdf, length, offset) {
  const L = cdf.length / length.length;
  return Array.from(length, (n, t) => ({ cdf: cdf.slice(t * L, t * L + n), offset: offset[t], e: n - 2 }));
}
/** @type {(of: Tensors, prefix: string) => Table[]} */
const tablesIn = (of, prefix) =>
  tablesOf(of[`${prefix}_quantized_cdf`].values, of[`${prefix}_cdf_length`].values, of[`${prefix}_offset`].values);
/** @type {(rising: Numbers, v: number) => number} how many elements are smaller than v */
function below(rising, v) {
  let [from, to] = [0, rising.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    [from, to] = rising[middle] < v ? [middle + 1, to] : [from, middle];
  }
  return from;
}

/** The bin of a symbol; of the escape, also the number of digits of raw and these (§5).
 * @type {(table: Table, symbol: number) => {bin: number, digits: number[]}} */
function binOf({ offset, e }, symbol) {
  const v = symbol - offset;
  const digits = /** @type {number[]} */ ([]);
  if (v >= 0 && v < e) return { bin: v, digits };
  for (let raw = v < 0 ? -2 * v - 1 : 2 * (v - e); raw > 0; raw = Math.floor(raw / 16)) digits.push(raw % 16);
  return { bin: e, digits: [digits.length, ...digits] };
}
/** @type {(table: Table, symbol: number) => number} -log2(width / 2^16), and 4 for each digit */
function bitsOf(table, symbol) {
  const { bin, digits } = binOf(table, symbol);
  return 16 - Math.log2(table.cdf[bin + 1] - table.cdf[bin]) + 4 * digits.length;
}

// ---- §5 Entropy coding -------------------------------------------------------------------------------------------
/** Reads the symbols of a payload, which begins at byte `start` of its stream. `finish` makes the last checks.
 * @type {(payload: Uint8Array, start: number) => {symbol: (table: Table) => number, finish: () => void}} */
function reader(payload, start) {
  const [view, length] = [viewOf(payload), payload.length];
  if (length < 8 || length % 4) refuse("truncated", start + length, "the payload isn't two or more whole words");
  let [low, high, at] = [view.getUint32(0, true), view.getUint32(4, true), 8]; // x is high · 2^32 + low
  const within = high < 2 ** 31 && (high > 0 || low >= 2 ** 31);
  if (!within) refuse("bad-final-state", start, "the first state isn't in [2^31, 2^63)");
  /** @type {(b: number, width: number, rest: number) => void} x = width · ⌊x / 2^b⌋ + rest, rest = slot - start */
  const step = (b, width, rest) => {
    const quotient = Math.floor(low / 2 ** b) + (high % 2 ** b) * 2 ** (32 - b); // ⌊x / 2^b⌋ mod 2^32
    const product = width * quotient + rest; // below 2^49
    [high, low] = [width * Math.floor(high / 2 ** b) + Math.floor(product / 2 ** 32), product % 2 ** 32];
    // if x < 2^31: x = x · 2^32 + next word
    if (high > 0 || low >= 2 ** 31) return;
    if (at === length) refuse("truncated", start + at, "the payload ends within a symbol");
    [high, low, at] = [low, view.getUint32(at, true), at + 4];
  };
  const digit = (d = low % 2 ** 4) => {
    step(4, 1, 0);
    return d;
  };
  /** @type {(table: Table) => number} */
  const symbol = ({ cdf, offset, e }) => {
    const slot = low % 2 ** 16;
    const i = below(cdf, slot + 1) - 1; // c_i <= slot < c_(i+1)
    step(16, cdf[i + 1] - cdf[i], slot - cdf[i]);
    if (i < e) return offset + i;
    const m = digit();
    if (m > 7) refuse("symbol-out-of-range", start + at, `an escape has ${m} digits, and 7 are allowed`);
    const digits = Array.from({ length: m }, () => digit());
    if (digits.at(-1) === 0) refuse("symbol-out-of-range", start + at, "the highest digit of an escape is 0");
    const raw = digits.reduceRight((sum, d) => 16 * sum + d, 0);
    return offset + (raw % 2 ? -(raw + 1) / 2 : raw / 2 + e);
  };
  const finish = () => {
    if (at < length) refuse("trailing-data", start + at, `${length - at} bytes are left after the last symbol`);
    if (high !== 0 || low !== 2 ** 31) refuse("bad-final-state", start + at, "the last state isn't 2^31");
  };
  return { symbol, finish };
}

/** Reads a rANS stream alone, a payload without header: (n) symbols. indexes (n): the table of each.
 * @param {Uint8Array} stream @param {Int32Array} indexes @param {Table[]} tables of `tablesOf`
 * @throws {BitstreamError} of the first check of §7 that fails, from the second `truncated` on */
export function ransDecode(stream, indexes, tables) {
  const { symbol, finish } = reader(stream, 0);
  const symbols = indexes.map((t) => symbol(tables[t]));
  finish();
  return symbols;
}

/** Writes a rANS stream of (n) symbols, the last step of the last symbol first. indexes (n): the table of each.
 * @param {Numbers} symbols @param {Numbers} indexes @param {Table[]} tables of `tablesOf`
 * @throws {RangeError} if a symbol's raw has more than 7 digits */
export function ransEncode(symbols, indexes, tables) {
  let [low, high] = [2 ** 31, 0]; // x is high · 2^32 + low
  const words = /** @type {number[]} */ ([]);
  /** @type {(b: number, start: number, width: number) => void} */
  const step = (b, start, width) => {
    // if x >= width · 2^(63 - b): put away x mod 2^32 as a word, x = ⌊x / 2^32⌋
    if (high >= width * 2 ** (31 - b)) {
      words.push(low);
      [low, high] = [high, 0];
    }
    // x = ⌊x / width⌋ · 2^b + x mod width + start
    const rest = (high % width) * 2 ** 32 + low; // below 2^48
    const quotient = Math.floor(rest / width); // ⌊x / width⌋ mod 2^32
    low = (quotient % 2 ** (32 - b)) * 2 ** b + (rest % width) + start;
    high = Math.floor(high / width) * 2 ** b + Math.floor(quotient / 2 ** (32 - b));
  };
  for (let i = symbols.length - 1; i >= 0; i--) {
    const [{ cdf }, { bin, digits }] = [tables[indexes[i]], binOf(tables[indexes[i]], symbols[i])];
    if (digits.length > 8) throw new RangeError(`symbol ${symbols[i]} is too far from its table: use 27 bits`);
    for (const digit of digits.reverse()) step(4, digit, 1);
    step(16, cdf[bin], cdf[bin + 1] - cdf[bin]);
  }
  return littleEndian(Int32Array.from([low, high, ...words.reverse()]));
}

// ---- §6 Bytes, §7 Errors -----------------------------------------------------------------------------------------
const [BEGINNING, HEADER, PIXELS] = [[0x4d, 0x42, 0x54, 1], 20, 2 ** 25]; // MBT and the version; bytes; at most

/** Reads the header of a stream: height and width in pixels; the model's fingerprint; the payload, a view of the stream.
 * @param {Uint8Array} stream
 * @throws {BitstreamError} of the first check of §7 that fails, up to `checksum-mismatch` */
export function parse(stream) {
  const wrong = BEGINNING.findIndex((byte, i) => i < stream.length && stream[i] !== byte);
  if (wrong === 3) refuse("unsupported-version", 3, `version ${stream[3]}, and only 1 is known`);
  if (wrong >= 0) refuse("bad-magic", wrong, "not an .mbt stream");
  if (stream.length < HEADER) refuse("truncated", stream.length, `a header has ${HEADER} bytes`);
  const view = viewOf(stream);
  const [height, width, payload] = [view.getUint16(12, true), view.getUint16(14, true), stream.subarray(HEADER)];
  if (height * width === 0) refuse("bad-dimensions", 12, `${height}×${width} pixels`);
  if (height * width > PIXELS) refuse("too-large", 12, `${height}×${width} pixels, and 2^25 are allowed`);
  const same = view.getUint32(16, true) === crc32(stream.subarray(0, 16), payload);
  if (!same) refuse("checksum-mismatch", 16, "the CRC-32 isn't that of the other bytes: some were changed");
  return { height, width, fingerprint: view.getBigUint64(4).toString(16).padStart(16, "0"), payload };
}

/** @type {(fingerprint: string, height: number, width: number, payload: Bytes) => Bytes} a stream */
function written(fingerprint, height, width, payload) {
  const header = new Uint8Array(HEADER);
  const view = viewOf(header);
  header.set(BEGINNING);
  view.setBigUint64(4, BigInt(`0x${fingerprint}`));
  view.setUint16(12, height, true);
  view.setUint16(14, width, true);
  view.setUint32(16, crc32(header.subarray(0, 16), payload), true);
  return joined(header, payload);
}

// ---- §8 Latent buffers -------------------------------------------------------------------------------------------
/** @typedef {{M: number, N: number, h: number, w: number}} Shape of latents: (M, 4h, 4w) and (N, h, w)
 * @typedef {{y_hat: Float32Array, z: Float32Array} & Shape} Unpacked whole numbers: (M, 4h, 4w) and (N, h, w) */

/** @type {(y_hat: Float32Array, z_hat: Float32Array, shape: Shape) => [Bytes, Bytes]} header and values */
function packed(y_hat, z_hat, { M, N, h, w }) {
  const fits = y_hat.length === 16 * M * h * w && z_hat.length === N * h * w;
  if (!fits) throw new RangeError("the lengths don't fit the shape: pass (M, 4h, 4w) and (N, h, w)");
  const values = Int16Array.from([...y_hat, ...z_hat], (v) => {
    if (!(v > -32769 && v < 32768)) throw new RangeError(`a latent is ${v}: pass -32768 to 32767`);
    return Math.trunc(v); // toward zero
  });
  return [littleEndian(Int32Array.of(1, M, 4 * h, 4 * w, 1, N, h, w)), littleEndian(values)];
}

/** Packs y_hat (M, 4h, 4w), whole numbers, and z_hat (N, h, w) into a raw buffer. It throws a RangeError if a value isn't
 * in [-32768, 32767] or the lengths don't fit.
 * @type {(y_hat: Float32Array, z_hat: Float32Array, shape: Shape) => Bytes} */
export const packRaw = (y_hat, z_hat, shape) => joined(...packed(y_hat, z_hat, shape));
/** Packs the same into a deflated buffer, of the platform's level.
 * @type {(y_hat: Float32Array, z_hat: Float32Array, shape: Shape) => Promise<Bytes>} */
export async function packZlib(y_hat, z_hat, shape) {
  const [header, values] = packed(y_hat, z_hat, shape);
  const deflated = new Blob([values]).stream().pipeThrough(new CompressionStream("deflate"));
  return joined(header, new Uint8Array(await new Response(deflated).arrayBuffer()));
}

/** @type {(buffer: Uint8Array, valuesOf: (length: number) => Uint8Array) => Unpacked} valuesOf gives `length` bytes */
function unpacked(buffer, valuesOf) {
  if (buffer.length < 32) refuse("truncated", buffer.length, "a buffer begins with 32 bytes");
  const [a, M, H, W, b, N, h, w] = Array.from({ length: 8 }, (_, i) => viewOf(buffer).getInt32(4 * i, true));
  const formed = a === 1 && b === 1 && H === 4 * h && W === 4 * w && Math.min(M, N, h, w) >= 1;
  if (!formed) refuse("bad-dimensions", 0, "the shapes aren't (1, M, 4h, 4w) and (1, N, h, w)");
  const [split, count] = [16 * M * h * w, (16 * M + N) * h * w]; // rounded above 2^53, but not to less
  if (count > 2 ** 26) refuse("too-large", 4, `${count} values, and 2^26 are allowed`);
  const bytes = reordered(new Uint8Array(valuesOf(2 * count)), 2);
  const latents = Float32Array.from(new Int16Array(bytes.buffer));
  return { y_hat: latents.slice(0, split), z: latents.slice(split), M, N, h, w };
}

/** Unpacks a raw buffer. It throws a BitstreamError of the first check of §8 that fails.
 * @type {(buffer: Uint8Array) => Unpacked} */
export const unpackRaw = (buffer) =>
  unpacked(buffer, (length) => {
    if (buffer.length < 32 + length) refuse("truncated", buffer.length, `the values have ${length} bytes`);
    if (buffer.length > 32 + length) refuse("trailing-data", 32 + length, "bytes are left after the values");
    return buffer.subarray(32);
  });
/** Unpacks a deflated buffer. It throws as unpackRaw does.
 * @type {(buffer: Uint8Array) => Unpacked} */
export const unpackZlib = (buffer) => unpacked(buffer, (length) => inflate(buffer, 32, length));
/** @typedef {{counts: number[], symbols: number[]}} Codes the codewords of each length; the symbols in their order
 * @type {(lengths: number[], at: number, alone: boolean) => Codes} of RFC 1951, 3.2.2; `alone`: may one code be? */
function codesOf(lengths, at, alone) {
  const counts = Array.from({ length: 16 }, (_, size) => lengths.filter((length) => length === size).length);
  const symbols = [...lengths.keys()].filter((symbol) => lengths[symbol] > 0);
  const taken = counts.reduce((sum, count, size) => sum + (size && count / 2 ** size), 0); // of all codewords
  const whole = taken === 1 || (alone && symbols.length === counts[1] && counts[1] < 2);
  if (!whole) refuse("checksum-mismatch", at, "too few codewords, or too many");
  return { counts, symbols: symbols.sort((a, b) => lengths[a] - lengths[b] || a - b) };
}
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]; // RFC 1951, 3.2.7
const LITERALS = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)); // and 3.2.6

/** @type {(bytes: Uint8Array, start: number, limit: number) => Bytes} `limit` bytes of a zlib stream from `start` on */
function inflate(bytes, start, limit) {
  let [at, held, left, length] = [start, 0, 0, 0]; // the `left` bits of `held` come next
  const out = new Uint8Array(limit);
  const byte = () => (at < bytes.length ? bytes[at++] : refuse("truncated", at, "the zlib stream has no end"));
  /** @type {(message: string) => never} */
  const fault = (message) => refuse("checksum-mismatch", at, message);
  /** @type {(count: number) => number} so many bits, the lowest first */
  const take = (count) => {
    for (; left < count; left += 8) held |= byte() << left;
    const taken = held & ((1 << count) - 1);
    [held, left] = [held >>> count, left - count];
    return taken;
  };
  /** @type {(value: number) => void} */
  const put = (value) => {
    if (length === limit) refuse("trailing-data", at, "more bytes than those of the values");
    out[length++] = value;
  };
  /** @type {(codes: Codes) => number} a symbol */
  const decoded = ({ counts, symbols }) => {
    for (let size = 1, code = 0, index = 0; size < 16; index += counts[size++]) {
      code = 2 * code + take(1); // less the first codeword of its size
      if (code < counts[size]) return symbols[index + code];
      code -= counts[size];
    }
    return fault("no codeword begins so");
  };
  /** @type {(s: number, bits: number) => number} base and extra bits of RFC 1951, 3.2.5, less the first base */
  const ranged = (s, bits) => {
    const extra = Math.max(0, (s >> bits) - 1);
    return (s - extra * 2 ** bits) * 2 ** extra + take(extra);
  };
  const stored = () => {
    [held, left] = [0, 0];
    const count = byte() + 256 * byte();
    if (count + byte() + 256 * byte() !== 65535) fault("the two lengths of a block differ");
    for (let i = 0; i < count; i++) put(byte());
  };
  /** @type {(symbol: number, distances: Codes) => void} earlier bytes, as many as the symbol of a length says */
  const copy = (symbol, distances) => {
    if (symbol > 285) fault("no such length");
    const [count, distance] = [symbol === 285 ? 258 : 3 + ranged(symbol - 257, 2), decoded(distances)];
    if (distance > 29) fault("no such distance");
    const back = 1 + ranged(distance, 1);
    if (back > length) fault("a match from before the beginning");
    for (let i = 0; i < count; i++) put(out[length - back]);
  };
  /** @type {(...lengths: number[][]) => void} of the codes of literals and lengths, and of distances */
  const block = (...lengths) => {
    const [first, second] = lengths.map((some) => codesOf(some, at, true));
    for (let symbol = decoded(first); symbol !== 256; symbol = decoded(first)) {
      if (symbol < 256) put(symbol);
      else copy(symbol, second);
    }
  };
  const dynamic = () => {
    const [split, distances, count] = [take(5) + 257, take(5) + 1, take(4) + 4];
    if (split > 286 || distances > 30) fault("too many codes");
    const first = new Array(19).fill(0);
    for (const symbol of ORDER.slice(0, count)) first[symbol] = take(3);
    const codes = first.some(Boolean) ? codesOf(first, at, false) : { counts: [0, 2], symbols: [0, 0] }; // as zlib
    const lengths = /** @type {number[]} */ ([]);
    while (lengths.length < split + distances) {
      const symbol = decoded(codes);
      if (symbol === 16 && lengths.length === 0) fault("no length to repeat");
      const times = symbol < 16 ? 1 : symbol === 16 ? 3 + take(2) : symbol === 17 ? 3 + take(3) : 11 + take(7);
      const value = symbol < 16 ? symbol : symbol === 16 ? lengths[lengths.length - 1] : 0;
      lengths.push(...new Array(times).fill(value));
    }
    if (lengths.length > split + distances || lengths[256] === 0) fault("wrong lengths of codes");
    block(lengths.slice(0, split), lengths.slice(split));
  };
  const [method, flags] = [byte(), byte()];
  // method 8, a window of at most 32 KiB, FCHECK, no preset dictionary
  if (method % 16 !== 8 || method > 0x78 || (256 * method + flags) % 31 || flags & 32) fault("no zlib stream");
  const blocks = [stored, () => block(LITERALS, new Array(32).fill(5)), dynamic, () => fault("a block of type 3")];
  for (let last = 0; last === 0; blocks[take(2)]()) last = take(1);
  let [a, b] = [1, 0]; // Adler-32
  for (const value of out.subarray(0, length)) [a, b] = [(a + value) % 65521, (b + a + value) % 65521];
  const sum = [byte(), byte(), byte(), byte()].reduce((word, one) => 256 * word + one);
  if (sum !== 65536 * b + a) fault("the Adler-32 is wrong");
  if (length < limit) refuse("truncated", at, `the stream has ${length} bytes, and the values ${limit}`);
  if (at < bytes.length) refuse("trailing-data", at, "bytes follow the zlib stream");
  return out;
}

// ---- §9 The picture, §10 Reproducible transforms -----------------------------------------------------------------
/** Makes the picture of latents (§9), (height, width, 3): red, green, blue. Its samples are the reproducible ones (§10).
 * @param {Model} model @param {Int32Array} y_hat (M, 4h, 4w), in units of 2^-10
 * @param {number} height @param {number} width in pixels @param {Watch} watch hears of "g_s"
 * @throws {RangeError} if the sizes don't fit */
export function picture(model, y_hat, height, width, watch = () => {}) {
  const [h, w] = blocksOf(height, width);
  const count = model.M * 16 * h * w;
  if (y_hat.length !== count) throw new RangeError(`${y_hat.length} latents: pass (M, 4h, 4w), here ${count}`);
  const y = planeOf(y_hat, model.M, 4 * h, 4 * w, (v) => v / 2 ** 10);
  const x_hat = transformed(model.g_s(), "g_s", y);
  const samples = new Uint8ClampedArray(height * width * 3); // clamps, and rounds ties to the even number
  for (let row = 0; row < height; row++) {
    const line = x_hat.row(row).subarray(6);
    for (let i = 0; i < width * 3; i++) samples[row * width * 3 + i] = line[i] * 255;
    watch("g_s", (row + 1) / height);
  }
  return new Uint8Array(samples.buffer);
}

/** @typedef {(model: Model, input: Float32Array, h: number, w: number, watch?: Watch) => Float32Array} Transform */

/** @type {Transform} y_hat (M, 4h, 4w) gives x_hat (3, 64h, 64w), neither clamped nor cropped (§9) */
export const g_s = (model, y_hat, h, w) =>
  arrayOf(Float32Array, transformed(model.g_s(), "g_s", planeOf(y_hat, model.M, 4 * h, 4 * w)));

// ---- §12 The encoder ---------------------------------------------------------------------------------------------
/** @type {(model: Model, x: Plane, watch?: Watch) => Float32Array} y = g_a(x), as float32 */
const analysis = (model, x, watch) =>
  arrayOf(Float32Array, transformed(model.g_a(), "g_a", x), (share) => watch?.("g_a", share));
/** @type {Transform} x (3, 64h, 64w), in [0, 1], gives y (M, 4h, 4w) (§12) */
export const g_a = (model, x, h, w) => analysis(model, planeOf(x, 3, 64 * h, 64 * w));
/** @type {Transform} y (M, 4h, 4w) gives z (N, h, w) (§12); `watch` hears of "h_a" */
export const h_a = (model, y, h, w, watch) => {
  const z = hyperTransformed(model.h_a(), "h_a", planeOf(y, model.M, 4 * h, 4 * w));
  return arrayOf(Float32Array, z, (share) => watch?.("h_a", share));
};
/** @type {(y: number, mu: number) => number} Y = saturate(⌊y · 2^10⌋)      k = ⌊(Y - mu + 2^9) / 2^10⌋ */
const symbolOf = (y, mu) => Math.floor((saturate(Math.floor(y * 2 ** 10)) - mu + 2 ** 9) / 2 ** 10);
/** Makes the symbols of y in closed loop (§12): mu, index, k and y_hat, (M, 4h, 4w), mu and y_hat in units of 2^-10, and
 * `order`, the elements of these in the order of §3. `watch` hears of "h_s" and "latents".
 * @param {Model} model @param {Int32Array} k_z (N, h, w) @param {Float32Array} y (M, 4h, 4w)
 * @param {number} h @param {number} w @param {Watch} watch */
export function exactSymbols(model, k_z, y, h, w, watch = () => {}) {
  const [mu, index, k, order] = [0, 1, 2, 3].map(() => new Int32Array(y.length));
  let coded = 0;
  /** @type {Code} */
  const code = (table, mean, at) => {
    [order[coded++], index[at], mu[at]] = [at, table, mean];
    k[at] = symbolOf(y[at], mean);
    return k[at];
  };
  return { mu, index, k, order, ...closedLoop(model, k_z, h, w, code, watch) };
}

/** Encodes a picture (§12), (height, width, 3): red, green, blue. The stream is the reproducible one (§10).
 * @param {Model} model @param {Uint8Array | Uint8ClampedArray} image @param {number} height @param {number} width
 *   in pixels @param {Watch} watch hears of "g_a", "h_a", and then of "h_s" and "latents", which take turns
 * @returns {Latents & {stream: Bytes}}
 * @throws {RangeError} if the format can't hold the picture, or its latents aren't finite */
export function encode(model, image, height, width, watch = () => {}) {
  const whole = [height, width].every((side) => Number.isInteger(side) && side >= 1 && side < 2 ** 16);
  if (!whole || height * width > PIXELS) throw new RangeError("use sides of 1 to 65535, and 2^25 pixels at most");
  const [count, [h, w]] = [height * width * 3, blocksOf(height, width)];
  if (image.length !== count) throw new RangeError(`${image.length} samples: pass height · width · 3, ${count}`);
  // x[c, i, j] = picture[min(i, H - 1), min(j, W - 1), c] / 255, in float32
  const x = computed(64 * h, 64 * w, 3, (i, line) => {
    for (let j = 0; j < 64 * w; j++) {
      const from = 3 * (Math.min(i, height - 1) * width + Math.min(j, width - 1));
      for (let c = 0; c < 3; c++) line[3 * (2 + j) + c] = Math.fround(image[from + c] / 255);
    }
  });
  const y = analysis(model, x, watch);
  const z = h_a(model, y, h, w, watch);
  const finite = [y, z].every((latents) => latents.every(Number.isFinite));
  if (!finite) throw new RangeError("the latents aren't finite: use another model for this picture");
  const channels = Int32Array.from(z, (_, i) => Math.floor(i / (h * w)));
  const k_z = Int32Array.from(z, (v, i) => symbolOf(v, model.gridMedians[channels[i]]));
  const { index, k, order, y_hat, bitsY, bitsZ } = exactSymbols(model, k_z, y, h, w, watch);
  const symbols = [...k_z, ...order.map((at) => k[at])];
  const indexes = [...channels, ...order.map((at) => model.N + index[at])];
  const payload = ransEncode(symbols, indexes, [...model.zTables, ...model.yTables]);
  return { height, width, y_hat, bitsY, bitsZ, stream: written(model.fingerprint, height, width, payload) };
}

// ---- §13 The float model and its likelihoods ---------------------------------------------------------------------
/** @type {Scalar} to the nearest integer; ties go to the even one */
function round(v) {
  const up = Math.round(v); // ties go up
  return up - v === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** psi and phi (2M, 4h, 4w), sigma and mu (M, 4h, 4w) of the float model, from z_hat (N, h, w) and y_hat (M, 4h, 4w).
 * @param {Model} model @param {Float32Array} z_hat @param {Float32Array} y_hat @param {number} h @param {number} w */
export const parameters = (model, z_hat, y_hat, h, w) =>
  teacherForced(Float32Array, model.float(), planeOf(z_hat, model.N, h, w), y_hat);
/** The same of the exact networks (§§2 to 4), in units of 2^-10, from k_z and y_hat; also z_hat (N, h, w), and index (M,
 * 4h, 4w), the table of each latent.
 * @param {Model} model @param {Int32Array} k_z @param {Int32Array} y_hat @param {number} h @param {number} w */
export function exactParameters(model, k_z, y_hat, h, w) {
  const z_hat = zHat(model, k_z, h, w);
  const found = teacherForced(Int32Array, model.exact(), z_hat, y_hat);
  const index = found.sigma.map((sigma) => below(model.thresholds, sigma));
  return { ...found, z_hat: arrayOf(Int32Array, z_hat), index };
}

/** The open-loop pass (§13) of x (3, 64h, 64w): z_hat and z_likelihoods (N, h, w), y_hat and y_likelihoods (M, 4h, 4w),
 * and x_hat (3, 64h, 64w).
 * @param {Model} model @param {Float32Array} x in [0, 1] @param {number} h @param {number} w */
export function forward(model, x, h, w) {
  const y = g_a(model, x, h, w);
  const y_hat = y.map(round);
  const z_hat = h_a(model, y, h, w).map((z, i) => {
    const median = model.medians[Math.floor(i / (h * w))];
    return round(z - median) + median;
  });
  const { sigma, mu } = parameters(model, z_hat, y_hat, h, w);
  const [z_likelihoods, y_likelihoods] = [factorizedLikelihoods(model, z_hat), gaussianLikelihoods(y, mu, sigma)];
  return { z_hat, z_likelihoods, y_hat, y_likelihoods, x_hat: g_s(model, y_hat, h, w) };
}

/** @type {Scalar} of t >= 0, to 13 digits: a continued fraction from 2 on, and a series below */
function erfc(t) {
  const scale = Math.exp(-t * t) / Math.sqrt(Math.PI);
  let fraction = t;
  for (let n = 80; n > 0; n--) fraction = t + n / 2 / fraction;
  if (t >= 2) return scale / fraction;
  let sum = 0;
  for (let n = 0, term = 2 * t; term > 1e-18; n++, term *= (2 * t * t) / (2 * n + 1)) sum += term;
  return 1 - scale * sum;
}

/** @type {Scalar} Φ(t) = erfc(-t / √2) / 2 */
const normal = (t) => (t < 0 ? erfc(-t / Math.SQRT2) / 2 : 1 - erfc(t / Math.SQRT2) / 2);
/** likelihood of y = max(10^-9, Φ((1/2 - |r|) / s) - Φ((-1/2 - |r|) / s)),  r = round(y - mu),  s = max(sigma, 0.11)
 * @type {(y: Float32Array, mu: Float32Array, sigma: Float32Array) => Float32Array} all of one shape */
export const gaussianLikelihoods = (y, mu, sigma) =>
  y.map((v, i) => {
    const [r, s] = [Math.abs(round(v - mu[i])), Math.max(sigma[i], 0.11)];
    return Math.max(1e-9, normal((0.5 - r) / s) - normal((-0.5 - r) / s));
  });
/** likelihood of z = max(10^-9, P(z_hat + 1/2) - P(z_hat - 1/2))
 * @param {Model} model @param {Float32Array} z_hat (N, h, w) */
export function factorizedLikelihoods(model, z_hat) {
  const P = Array.from({ length: model.N }, (_, c) => cumulative(model, c));
  const channel = (/** @type {number} */ i) => Math.floor((i * model.N) / z_hat.length);
  return z_hat.map((v, i) => Math.max(1e-9, P[channel(i)](v + 0.5) - P[channel(i)](v - 0.5)));
}
/** @type {Scalar} softplus(a) = ln(1 + e^a) */
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
/** @type {(model: Model, channel: number) => Scalar} P of a channel */
function cumulative({ tensors }, channel) {
  /** @type {(name: string, of: Scalar) => number[]} the channel's part of a tensor */
  const part = (name, of) => {
    const { shape, values } = tensors[`entropy_bottleneck.${name}`];
    const length = values.length / shape[0];
    return Array.from(values.subarray(channel * length, (channel + 1) * length), of);
  };
  const layers = [0, 1, 2, 3, 4].map((i) => ({
    matrix: part(`matrices.${i}`, softplus),
    biases: part(`biases.${i}`, (v) => v),
    factors: i < 4 ? part(`factors.${i}`, Math.tanh) : [0],
  }));
  return (value) => {
    let v = [value];
    for (const { matrix, biases, factors } of layers) {
      // v = softplus(matrices_i) · v + biases_i, and for i < 4 then v = v + tanh(factors_i) · tanh(v)
      const sums = biases.map((bias, o) => v.reduce((sum, one, j) => sum + matrix[o * v.length + j] * one, bias));
      v = sums.map((sum, o) => sum + factors[o] * Math.tanh(sum));
    }
    return 1 / (1 + Math.exp(-v[0]));
  };
}
