/** Latent buffers (docs/specification.md, §8), raw or deflated. A buffer isn't a stream: a codec needs none of it.
 * @typedef {import("./codec.mjs").Bytes} Bytes */

import { joined, littleEndian, refuse, reordered, viewOf } from "./codec.mjs";

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
    const count = symbol === 285 ? 258 : 3 + ranged(symbol - 257, 2);
    const distance = decoded(distances);
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
    const codes = codesOf(first, at, false);
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
