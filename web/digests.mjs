/** The digests of docs/machines.md, computed in a browser: `mbtref machines` serves this module and what it asks for. */
import { decodeLatents, littleEndian, picture, readModel, sha256 } from "./codec.mjs";

/** @param {string} path @returns {Promise<Uint8Array>} */
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());

/**
 * One SHA-256 over an output of several streams, in their order.
 * @param {"y_hat" | "image"} output @param {[model: string, stream: string][]} streams paths of their files
 */
async function digest(output, streams) {
  const gaussian = await bytes("gaussian");
  const parts = [];
  let last = "";
  let model = /** @type {ReturnType<typeof readModel> | undefined} */ (undefined);
  for (const [name, stream] of streams) {
    if (!model || name !== last) model = readModel(await bytes(name), gaussian);
    last = name;
    const { height, width, y_hat } = decodeLatents(model, await bytes(stream));
    parts.push(output === "image" ? picture(model, y_hat, height, width) : littleEndian(y_hat));
  }
  return sha256(new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (parts)).arrayBuffer()));
}

/** @returns {Promise<{digests: string[]} | {error: string}>} */
async function answer() {
  try {
    const digests = [];
    for (const [output, streams] of await (await fetch("questions")).json())
      digests.push(await digest(output, streams));
    return { digests };
  } catch (error) {
    return { error: String(error) };
  }
}

await fetch("answer", { method: "POST", body: JSON.stringify(await answer()) });
