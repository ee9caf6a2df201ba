"""What ports to JavaScript are likely to do, in the JavaScript codec: its operators, numbers, arrays, modules."""

from mutants import javascript
from mutants.javascript import TEXT, replaced
from mutants.mutant import Mutant, constant, mutant


def js(name: str, requirement: str, stage: str, wrong: str, right: str, instead: str) -> Mutant:
    """A line of the gallery. right: a part of the codec's text. instead: what it becomes."""
    changed = constant(javascript, "TEXT", replaced(TEXT, right, instead))
    return mutant(f"js_{name}", requirement, stage, wrong, changed)


MUTANTS = (
    # operators of 32 bits
    js("slope_in_32_bits", "EXACT-1", "sigma", "LeakyReLU's product is shifted, as 32 bits",
      "Math.floor((out * 1311) / 2 ** 17 + 0.5)", "(out * 1311 + 2 ** 16) >> 17"),
    js("symbols_in_32_bits", "DECODE-1", "y_hat", "k · 2^10 is a shift of 32 bits",
      "return saturate(k * 2 ** 10 + mu)", "return saturate((k << 10) + mu)"),
    js("sums_by_remainder", "EXACT-1", "psi", "a sum loses its remainder by %, which is negative as the sum is",
      "Math.floor(sum / 2 ** 14 + 0.5)", "(sum + 2 ** 13 - (sum + 2 ** 13) % 2 ** 14) / 2 ** 14"),
    js("bound_in_32_bits", "RANS-1", "stream", "the bound of the state is a shift of 32 bits",
      "width * 2 ** (31 - b)", "(width << (31 - b))"),
    js("crc_signed", "DECODE-1", "checksum-mismatch", "a checksum with bit 31 is negative",
      "(crc ^ 0xffffffff) >>> 0", "crc ^ 0xffffffff"),
    # numbers
    js("state_in_a_number", "RANS-2", "bad-final-state", "the state is one Number, exact up to 2^53",
      "[high, low] = [width * Math.floor(high / 2 ** b) + Math.floor(product / 2 ** 32), product % 2 ** 32]",
      "const x = width * Math.floor(high / 2 ** b) * 2 ** 32 + product;\n"
      "    [high, low] = [Math.floor(x / 2 ** 32), x % 2 ** 32]"),
    js("limit_as_a_number", "RANS-2", "bad-final-state", "the first state is compared with 2^63 as a Number",
      "high < 2 ** 31 && (", "high * 2 ** 32 + low < 2 ** 63 && ("),
    js("round_half_up", "FLOAT-3", "y_likelihoods", "ties are rounded up by Math.round",
      "function round(v) {", "function round(v) {\n  return Math.round(v);"),
    js("sums_in_float32", "EXACT-1", "phi", "sums go through a Float32Array",
      "after(heap[out + p * padded + c])", "after(Math.fround(heap[out + p * padded + c]))"),
    # bytes and typed arrays
    js("words_signed", "RANS-2", "truncated", "words are read as signed numbers",
      "[low, view.getUint32(at, true), at + 4]", "[low, view.getInt32(at, true), at + 4]"),
    js("words_big_endian", "RANS-2", "bad-final-state", "the state is read without the flag of little-endian",
      "[view.getUint32(0, true), view.getUint32(4, true), 8]", "[view.getUint32(0), view.getUint32(4), 8]"),
    js("word_of_zero", "RANS-2", "truncated", "a word of 0 is taken for none",
      "if (at === length) refuse", "if (!(at < length && view.getUint32(at, true))) refuse"),
    js("whole_memory", "BUFFER-3", "y_hat", "values are read from where the memory of a view begins, not the view",
      "reordered(new Uint8Array(valuesOf(2 * count)), 2)", "reordered(valuesOf(2 * count), 2)"),
    js("k_z_in_16_bits", "DECODE-1", "trailing-data", "symbols of z are kept in an Int16Array",
      "const k_z = new Int32Array(model.N * h * w)", "const k_z = new Int16Array(model.N * h * w)"),
    js("samples_rounded_twice", "DECODE-1", "image", "a half is added before Uint8ClampedArray rounds",
      "= line[i] * 255", "= line[i] * 255 + 0.5"),
    js("codes_as_text", "BUFFER-4", "checksum-mismatch", "symbols of a Huffman code are sorted as texts",
      "|| a - b)", "|| (`${a}` < `${b}` ? -1 : 1))"),
    # modules
    js("tables_kept", "STATE-1", "symbols", "tables are kept in the module, by the length of a message",
      "export function ransDecode(stream, indexes, tables) {",
      "const kept = {};\nexport function ransDecode(stream, indexes, tables) {\n"
      "  tables = kept[indexes.length] ??= tables;"),
)  # fmt: skip
