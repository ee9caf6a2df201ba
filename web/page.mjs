/** The page: takes files, has a worker do the work, and shows what came of it. */

/** @typedef {import("./worker.mjs").Shelf} Shelf */
/** @typedef {{file: Blob, name: string, task: "decode" | "encode" | "model"}} Job */

/** @type {{[part: string]: string}} */
const PARTS = {
  pixels: "Picture read",
  model: "Model read",
  g_a: "Analysis, g_a",
  h_a: "Hyper-analysis, h_a",
  h_s: "Hyper-synthesis, h_s",
  latents: "Latents, one by one",
  g_s: "Picture, g_s",
  hashes: "SHA-256",
  png: "PNG and map",
  jpeg: "JPEG of this size",
};
const PARTS_OF = {
  decode: ["model", "h_s", "latents", "g_s", "hashes", "png"],
  encode: ["pixels", "model", "g_a", "h_a", "h_s", "latents", "g_s", "hashes", "png", "jpeg"],
  model: ["model"],
};
const AGAIN = "Copy it again from where it came, as a binary file.";
const WRITER = "Its checksum is right, so it came as it was written: tell those whose encoder wrote it.";
/** @type {{[kind: string]: [string, string]}} what is wrong, and what to do */
const REFUSALS = {
  "bad-magic": ["This isn't an .mbt stream", "Every stream begins with the letters MBT. Choose another file."],
  "unsupported-version": ["A stream of another version", "This page reads version 1 of the format. Look for a newer page."],
  truncated: ["The stream ends too early", AGAIN],
  "bad-dimensions": ["A picture without pixels", `Its height or its width is 0. ${AGAIN}`],
  "too-large": ["The picture is larger than the format allows", `Streams hold 2^25 pixels at most. ${AGAIN}`],
  "checksum-mismatch": ["The stream is damaged", `Some of its bytes aren't those that were written. ${AGAIN}`],
  "unknown-model": ["The stream's model isn't here", ""],
  "bad-final-state": ["The stream doesn't decode to its end", WRITER],
  "symbol-out-of-range": ["The stream holds a number that none may hold", WRITER],
  "trailing-data": ["The stream goes on after its end", WRITER],
  "page-limit": ["Too large for this page", "The program takes it: mbtref encode and mbtref decode."],
  "not-a-picture": ["The browser can't read this file", "Choose a stream, a picture such as PNG, JPEG or WebP, or a model."],
  "not-a-model": ["This isn't a model of mbt2018", "Choose a .safetensors file of mbtref or of 'mbtref import'."],
  failed: ["That didn't work", "Try it again. This page needs a browser of 2023 or later, and memory for the picture."],
};
const PLACES = ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const image = (/** @type {string} */ id) => /** @type {HTMLImageElement} */ (byId(id));
const choice = /** @type {HTMLSelectElement} */ (byId("model"));
const number = (/** @type {number} */ n, digits = 0) =>
  n.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const decibels = (/** @type {number} */ n) => (n === Infinity ? "∞, equal" : number(n, 2));
const show = (/** @type {string[]} */ ids, shown = true) => {
  for (const id of ids) byId(id).hidden = !shown;
};
const say = (/** @type {string} */ text) => {
  byId("status").textContent = text;
};

/** An element. @param {string} tag @param {object} properties @param {(Node | string)[]} content */
function element(tag, properties = {}, ...content) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...content);
  return made;
}

/** @type {Shelf} */
let shelf = {};
/** @type {Worker | null} */
let worker = null;
/** @type {Job | null} the job in hand */
let working = null;
/** @type {Job | null} the last job that wasn't a model */
let last = null;
/** @type {{file: Blob, name: string} | null} a stream whose model isn't here */
let waiting = null;
let turns = 0;
/** @type {string[]} addresses of the result that is shown */
let addresses = [];

const address = (/** @type {Blob} */ blob) => {
  addresses.push(URL.createObjectURL(blob));
  return addresses[addresses.length - 1];
};

// ---- Jobs ---------------------------------------------------------------------------------------------------------

/** Ends the work, and the thread with it. */
function stop() {
  if (worker) worker.onmessage = worker.onerror = null;
  worker?.terminate();
  [worker, working] = [null, null];
}

/** Takes files that came by the button or by a drop: a model and another one, or one of them. @param {File[]} files */
function takeAll(files) {
  const isModel = (/** @type {File} */ file) => file.name.endsWith(".safetensors");
  const [model, other] = [files.find(isModel), files.find((file) => !isModel(file))];
  if (model && other) waiting = { file: other, name: other.name };
  if (model ?? other) take(/** @type {File} */ (model ?? other), (model ?? other)?.name ?? "");
  else say("That wasn't a file: save it first, and drop it then.");
}

/** Begins the work on a file; an older one is left. @param {Blob} file @param {string} name */
async function take(file, name) {
  const turn = ++turns;
  if (working) stop();
  try {
    const start = new TextDecoder("latin1").decode(await file.slice(0, 3).arrayBuffer());
    const isStream = /\.mbt$/i.test(name) || start === "MBT";
    const task = /\.safetensors$/i.test(name) ? "model" : isStream ? "decode" : "encode";
    if (turn === turns) await begin({ file, name, task }, turn);
  } catch (error) {
    if (turn === turns) refuse({ kind: "failed", message: `${name} can't be read: ${error}` });
  }
}

/** @param {Job} job @param {number} turn */
async function begin(job, turn) {
  working = job;
  if (job.task !== "model") [last, waiting] = [job, null];
  clear();
  byId("title").textContent = job.name;
  say(`Working on ${job.name}`);
  byId("parts").replaceChildren(...PARTS_OF[job.task].map(part));
  show(["result", "cancel"]);
  byId("result").ariaBusy = "true";
  document.body.classList.add("begun");
  byId("title").focus();
  const size = job.task === "encode" ? await sizeOf(job.file) : {};
  if (turn !== turns) return;
  if (!size) {
    refuse({ kind: "not-a-picture", message: `${job.name} is neither a stream nor a picture that this browser knows.` });
    return;
  }
  worker ??= new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = ({ message }) => refuse({ kind: "failed", message: message || "The worker doesn't start." });
  worker.postMessage({ ...job, ...size, shelf, fingerprint: choice.value });
}

/** The size of a picture, which a browser finds without decoding it. @param {Blob} file */
async function sizeOf(file) {
  const probe = new Image();
  const url = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(probe, { onload: resolve, onerror: reject, src: url }));
    return { height: probe.naturalHeight, width: probe.naturalWidth };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** What the worker tells. @param {any} news */
function hear({ part, share, time, done, times, refused }) {
  if (part) advance(part, share, time);
  if (refused) refuse(refused);
  if (!done) return;
  const job = /** @type {Job} */ (working);
  for (const [name, spent] of Object.entries(times)) advance(name, 1, /** @type {number} */ (spent));
  finish();
  if (job.task === "model") learn(job, done);
  else present(job, done);
}

/** The end of the work, good or bad. */
function finish() {
  working = null;
  if (document.activeElement === byId("cancel")) byId("title").focus();
  show(["cancel"], false);
  byId("result").ariaBusy = "false";
}

/** Puts a dropped model on the shelf, and decodes the stream that waits for it. @param {Job} job @param {any} found */
function learn({ file, name }, { fingerprint, N, M }) {
  shelf[fingerprint] = { name: name.replace(/\.safetensors$/i, ""), bytes: file.size, source: file };
  offer(fingerprint);
  if (waiting) {
    take(waiting.file, waiting.name);
    return;
  }
  byId("parts").replaceChildren();
  say(`Model ${shelf[fingerprint].name} is ready: N = ${N}, M = ${M}, fingerprint ${fingerprint}. Drop a stream or a picture.`);
}

/** Lists the models for pictures, with one of them chosen. @param {string} fingerprint */
function offer(fingerprint) {
  const options = Object.entries(shelf).map(([value, { name }]) => element("option", { value }, name));
  choice.replaceChildren(...options);
  choice.value = fingerprint;
}

// ---- What is shown ------------------------------------------------------------------------------------------------

/** Takes away what is shown of an older file. */
function clear() {
  for (const url of addresses) URL.revokeObjectURL(url);
  addresses = [];
  for (const id of ["decoded", "other", "map"]) image(id).removeAttribute("src");
  byId("refusal").replaceChildren();
  show(["figure", "results", "time", "compared"], false);
}

/** A part of the work, not begun. @param {string} name */
const part = (name) =>
  element(
    "li",
    { id: `part-${name}` },
    element("span", {}, PARTS[name]),
    element("progress", { max: 1, value: 0, ariaLabel: PARTS[name] }),
    element("span", { className: "spent" }, "–"),
  );

/** @param {string} name of a part @param {number} share @param {number} time in milliseconds */
function advance(name, share, time) {
  const item = byId(`part-${name}`);
  const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
  if (bar.value === 0) say(`${PARTS[name]}: ${working?.name}`);
  bar.value = Math.max(share, 0.01);
  /** @type {HTMLElement} */ (item.lastElementChild).textContent = `${number(time / 1000, 2)} s`;
}

/** @param {{kind: string, offset?: number, message: string}} refused */
function refuse({ kind, offset, message }) {
  const name = working?.name ?? "";
  if (!(kind in REFUSALS)) stop();
  finish();
  byId("parts").replaceChildren();
  const [title, advice] = REFUSALS[kind] ?? REFUSALS.failed;
  const text = message.replace(/^[a-z-]+ at byte \d+: /, "");
  const content = [element("h3", {}, title)];
  if (offset === undefined) content.push(element("p", {}, message));
  else content.push(element("p", {}, `Byte ${number(offset)}: ${text}.`));
  if (kind === "unknown-model" && last) {
    waiting = last;
    content.push(element("p", {}, "Drop its .safetensors file here, and this stream is decoded at once. Here are: "));
    content.push(element("p", {}, Object.values(shelf).map((model) => model.name).join(", ")));
  } else content.push(element("p", {}, advice));
  content.push(element("p", { className: "kind" }, "kind ", element("code", {}, kind)));
  byId("refusal").replaceChildren(...content);
  show(["result"]);
  say(`${title}: ${name}`);
}

/** @param {Job} job @param {any} done of the worker */
function present(job, done) {
  const { height, width, bytes, digests, id, fingerprint } = done;
  const model = shelf[fingerprint].name;
  const bpp = (/** @type {number} */ size) => number((8 * size) / (height * width), 3);
  picture(job, done, `${model}, ${bpp(bytes)} bpp`);
  map(done);
  const same = mark(digests.latents).sign === "✓" && mark(digests.pixels).sign === "✓";
  const numbers = [[bpp(bytes), "bits per pixel"], [number(bytes), "bytes"]];
  if (done.psnr !== undefined) numbers.push([decibels(done.psnr), "dB PSNR"]);
  numbers.push([`${width} × ${height}`, "pixels"]);
  byId("numbers").replaceChildren(
    ...numbers.map(([value, unit]) => element("p", {}, element("b", {}, value), " ", element("span", {}, unit))),
  );
  facts("digests", [
    ["latents", verdict(digests.latents, id)],
    ["pixels", verdict(digests.pixels, id)],
  ]);
  facts("header", [
    ["model", `${model}, fingerprint `, element("code", {}, fingerprint)],
    ["format", "mbt2018, version 1"],
    ["size", `${bytes} bytes, of which 20 are the header`],
  ]);
  if (done.psnr !== undefined) compare(done, model, bpp);
  notes(job, done);
  const stem = job.name.replace(/\.[^.]*$/, "");
  byId("downloads").replaceChildren(
    element("a", { href: address(done.file), download: `${stem}.mbt`, className: "button" }, `Stream (${number(bytes)} bytes)`),
    element("a", { href: image("decoded").src, download: `${stem}-${model}.png`, className: "button" }, "Decoded PNG"),
  );
  show(["figure", "results", "time"]);
  const outcome = same ? "Latents and pixels equal the golden ones." : `Latents: ${mark(digests.latents).words}.`;
  say(`${job.task === "encode" ? "Encoded" : "Decoded"} ${job.name}: ${bpp(bytes)} bits per pixel. ${outcome}`);
}

/** @param {{found: string, golden?: string}} digest */
function mark({ found, golden }) {
  if (!golden) return { sign: "–", words: "no golden ones are known for this stream", state: "unknown" };
  if (found === golden) return { sign: "✓", words: "equal the golden ones", state: "equal" };
  return { sign: "✗", words: "differ from the golden ones", state: "differ" };
}

/** @param {{found: string, golden?: string}} digest @param {string | undefined} id of the vector */
function verdict(digest, id) {
  const { sign, words, state } = mark(digest);
  const source = state === "unknown" ? "" : ` of ${id}`;
  return element(
    "div",
    { className: `verdict ${state}` },
    element("strong", {}, element("span", { ariaHidden: "true" }, `${sign} `), words),
    source,
    element("code", { className: "digest" }, digest.found),
  );
}

/** @param {string} id of a dl @param {[string, ...(Node | string)[]][]} rows */
function facts(id, rows) {
  byId(id).replaceChildren(
    ...rows.flatMap(([term, ...content]) => [element("dt", {}, term), element("dd", {}, ...content)]),
  );
}

/** The picture, with the original or JPEG left of a divider. @param {Job} job @param {any} done @param {string} tag */
function picture(job, { height, width, png, jpeg, psnr }, tag) {
  const frame = byId("frame");
  frame.style.setProperty("--width", String(width));
  frame.style.setProperty("--height", String(height));
  frame.style.setProperty("--enlarged", String(Math.max(1, Math.floor(384 / Math.max(width, height)))));
  frame.classList.toggle("pixels", Math.max(width, height) <= 192);
  image("decoded").src = address(png);
  image("decoded").alt = `${job.name}, decoded`;
  const compared = psnr !== undefined;
  show(["other", "divider", "beside"], compared);
  show(["jpeg"], Boolean(jpeg));
  byId("right").textContent = compared ? tag : "";
  byId("left").textContent = "";
  frame.classList.toggle("divided", compared);
  if (!compared) return;
  const sources = { original: address(job.file), jpeg: jpeg ? address(jpeg.blob) : "" };
  const choose = () => {
    const chosen = /** @type {HTMLInputElement} */ (document.querySelector("[name=beside]:checked"));
    const which = jpeg && chosen.value === "jpeg" ? "jpeg" : "original";
    image("other").src = sources[which];
    image("other").alt = which === "jpeg" ? `${job.name} as JPEG of this size` : `${job.name}, the original`;
    byId("left").textContent = which === "jpeg" ? `JPEG, quality ${jpeg.quality}` : "original";
    divide();
  };
  byId("beside").onchange = choose;
  choose();
}

/** Moves the divider. */
function divide() {
  const { value } = input("divider");
  byId("frame").style.setProperty("--divider", `${value}%`);
  input("divider").ariaValueText = `${value} % ${byId("left").textContent}, the rest ${byId("right").textContent}`;
}

/** The map of the bits, and its words. @param {any} done */
function map({ width, map: { blob, colours, most, columns, parts } }) {
  image("map").src = address(blob);
  image("map").style.width = `${(100 * 16 * columns) / width}%`;
  byId("colours").style.background = `linear-gradient(to right, ${colours})`;
  byId("most").textContent = `${number(most, 2)} bits per pixel`;
  const at = (/** @type {number} */ value) => `${PLACES[parts.indexOf(value)]}, ${number(value, 2)} bits per pixel`;
  const words = parts.length
    ? `Of its nine parts, the dearest is the ${at(Math.max(...parts))}; the cheapest the ${at(Math.min(...parts))}.`
    : "";
  byId("words").textContent = `A square stands for 16×16 pixels; the dearest costs ${number(most, 2)} bits per pixel. ${words}`;
  image("map").alt = `Map of the bits. ${words}`;
  uncover();
}

/** Shows the map or hides it. */
function uncover() {
  const { checked } = input("mapped");
  show(["map", "legend", "words"], checked);
  image("map").style.opacity = String(Number(input("strength").value) / 100);
}

/** The table beside JPEG. @param {any} done @param {string} model @param {(size: number) => string} bpp */
function compare({ bytes, psnr, jpeg }, model, bpp) {
  /** @type {[string, number, number][]} */
  const rows = [[`mbt2018, ${model}`, bytes, psnr]];
  if (jpeg) rows.push([`JPEG, quality ${jpeg.quality}`, jpeg.blob.size, jpeg.psnr]);
  const cells = rows.map(([name, size, quality]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      ...[number(size), bpp(size), decibels(quality)].map((text) => element("td", {}, text)),
    ),
  );
  byId("compared").querySelector("tbody")?.replaceChildren(...cells);
  show(["compared"]);
}

/** What has to be known of the result. @param {Job} job @param {any} done */
function notes({ task }, { bytes, transparent, jpeg, exact }) {
  const lines = [];
  if (task === "encode" && !jpeg) lines.push("This browser writes no JPEG, so there is none to compare.");
  if (jpeg?.blob.size <= bytes) {
    lines.push("JPEG is this browser's own, of the best quality that has no more bytes than the stream.");
  } else if (jpeg) lines.push("No JPEG of this browser is so small: it is the one of the lowest quality.");
  if (transparent) lines.push("The picture has transparent pixels. They were put on white, for JPEG too.");
  if (!exact) {
    lines.push("This browser alters pixels that a page reads, to hinder recognition: the PNG isn't exact, nor is a picture that was read.");
  }
  byId("notes").replaceChildren(...lines.map((line) => element("li", {}, line)));
}

// ---- The beginning ------------------------------------------------------------------------------------------------

/** @param {{name: string, file: string, about: string}} example */
const exampleOf = ({ name, file, about }) => {
  const open = async () => {
    const answer = await fetch(file);
    if (answer.ok) take(await answer.blob(), /** @type {string} */ (file.split("/").pop()));
    else say(`${file} isn't beside the page: the server says ${answer.status}`);
  };
  const button = element("button", { type: "button", onclick: open }, element("b", {}, name), element("span", {}, about));
  return element("li", {}, button);
};

async function main() {
  byId("fallback").remove();
  show(["intake"]);
  const answer = await fetch("contents.json");
  const { models, examples } = await answer.json();
  shelf = models;
  offer(/** @type {string} */ (Object.keys(models).find((each) => models[each].name === "lite-q4")));
  byId("list").replaceChildren(...examples.map(exampleOf));
  show(["shelf"]);
  document.documentElement.dataset.ready = "";
}

byId("choose").onclick = () => input("file").click();
input("file").onchange = () => {
  takeAll([...(input("file").files ?? [])]);
  input("file").value = "";
};
byId("cancel").onclick = () => {
  say(`Cancelled: ${working?.name}`);
  turns++;
  stop();
  finish();
  clear();
  show(["result"], false);
  byId("choose").focus();
};
choice.onchange = () => {
  if (last?.task === "encode") take(last.file, last.name);
};
input("divider").oninput = divide;
input("mapped").onchange = input("strength").oninput = uncover;
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  takeAll([...(event.dataTransfer?.files ?? [])]);
});
main().catch((error) => say(`The page isn't whole: ${error}. Write it again with 'mbtref page'.`));
