"""What ports to JavaScript are likely to do, in the JavaScript codec: its operators, numbers, arrays, modules."""

from mutants import javascript
from mutants.javascript import edited
from mutants.mutant import Mutant, constant, mutant


def js(name: str, requirement: str, stage: str, wrong: str, right: str, instead: str) -> Mutant:
    """A line of the gallery. right: a part of the codec's text. instead: what it becomes."""
    return mutant(f"js_{name}", requirement, stage, wrong, constant(javascript, "TEXT", edited(right, instead)))


MUTANTS = (
    # operators of 32 bits
    js("slope_in_32_bits", "EXACT-1", "sigma", "LeakyReLU's product is shifted, as 32 bits",
      "Math.floor((out * 1311) / 2 ** 17 + 0.5)", "(out * 1311 + 2 ** 16) >> 17"),
    js("symbols_in_32_bits", "DECODE-1", "y_hat", "k · 2^10 is a shift of 32 bits",
      "y_hat[row][(2 + column) * M + c] = saturate(k * 2 ** 10 + mu)",
      "y_hat[row][(2 + column) * M + c] = saturate((k << 10) + mu)"),
    js("sums_by_remainder", "EXACT-1", "psi", "a sum loses its remainder by %, which is negative as the sum is",
      "Math.floor(sum / 2 ** 14 + 0.5)", "(sum + 2 ** 13 - (sum + 2 ** 13) % 2 ** 14) / 2 ** 14"),
    js("bound_in_32_bits", "RANS-1", "stream", "the bound of the state is a shift of 32 bits",
      "width * 2 ** (31 - b)", "(width << (31 - b))"),
    js("crc_signed", "DECODE-1", "checksum-mismatch", "a checksum with bit 31 is negative",
      "(crc ^ 0xffffffff) >>> 0", "crc ^ 0xffffffff"),
    # numbers
    js("state_in_a_number", "RANS-2", "bad-final-state", "the state is one Number, exact up to 2^53",
      "const product = width * low + rest; // below 2^49\n    this.low = product % 2 ** 32;\n"
      "    this.high = width * high + Math.floor(product / 2 ** 32);",
      "const x = width * (high * 2 ** 32 + low) + rest;\n    this.low = x % 2 ** 32;\n"
      "    this.high = Math.floor(x / 2 ** 32);"),
    js("round_half_up", "FLOAT-3", "y_likelihoods", "ties are rounded up by Math.round",
      "function round(v) {", "function round(v) {\n  return Math.round(v);"),
    js("sums_in_float32", "EXACT-1", "phi", "sums go through a Float32Array",
      "after(heap[out + p * layer.padded + c])", "after(Math.fround(heap[out + p * layer.padded + c]))"),
    # bytes and typed arrays
    js("words_signed", "RANS-2", "trailing-data", "words are read as signed numbers",
      "this.low = this.view.getUint32(this.at, true)", "this.low = this.view.getInt32(this.at, true)"),
    js("words_big_endian", "RANS-1", "stream", "words are written without the flag of little-endian ones",
      "view.setUint32(4 * i, word, true)", "view.setUint32(4 * i, word)"),
    js("word_of_zero", "RANS-2", "truncated", "a word of 0 is taken for none",
      "if (this.at >= this.view.byteLength)",
      "if (!(this.at < this.view.byteLength && this.view.getUint32(this.at, true)))"),
    js("whole_memory", "BUFFER-3", "y_hat", "values are read from where the memory of a view begins, not the view",
      "new Int16Array(values(bytes, 2))", "new Int16Array(bytes.buffer, 0, bytes.length / 2)"),
    js("k_z_in_16_bits", "DECODE-1", "trailing-data", "symbols of z are kept in an Int16Array",
      "const k_z = new Int32Array(model.N * h * w)", "const k_z = new Int16Array(model.N * h * w)"),
    js("samples_rounded_twice", "DECODE-1", "image", "a half is added before Uint8ClampedArray rounds",
      "= line[6 + i] * 255", "= line[6 + i] * 255 + 0.5"),
    js("codes_as_text", "BUFFER-4", "checksum-mismatch", "symbols of a Huffman code are sorted as texts",
      "one.symbol - other.symbol", "(`${one.symbol}` < `${other.symbol}` ? -1 : 1)"),
    # modules
    js("tables_kept", "STATE-1", "symbols", "tables are kept in the module, by the length of a message",
      "export function ransDecode(stream, indexes, tables) {",
      "const kept = {};\nexport function ransDecode(stream, indexes, tables) {\n"
      "  tables = kept[indexes.length] ??= tables;"),
)  # fmt: skip
