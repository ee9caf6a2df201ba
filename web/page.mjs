/** The page: takes files, has a worker do the work, and shows what came of it. */

/** @typedef {import("./worker.mjs").Shelf} Shelf */
/** @typedef {{file: Blob | Promise<Blob>, name: string, title?: string}} Given title: what the page calls it */
/** @typedef {{file: Blob, name: string, title: string, task: "decode" | "encode" | "model"}} Job */

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
  encode: Object.keys(PARTS),
  model: ["model"],
};
const AGAIN = "Copy it again from where it came, as a binary file.";
const WRITER = "Its checksum is right, so it came as it was written: tell those whose encoder wrote it.";
/** @type {{[kind: string]: [string, string]}} what is wrong, and what to do */
const REFUSALS = {
  "bad-magic": ["This isn't an .mbt stream", "Every stream begins with the letters MBT. Choose another file."],
  "unsupported-version": ["A stream of another version", "This page reads version 1. Look for a newer page."],
  truncated: ["The stream ends too early", AGAIN],
  "bad-dimensions": ["A picture without pixels", `Its height or its width is 0. ${AGAIN}`],
  "too-large": ["The picture is larger than the format allows", `Streams hold 2^25 pixels at most. ${AGAIN}`],
  "checksum-mismatch": ["The stream is damaged", AGAIN],
  "unknown-model": ["The stream's model isn't here", "Drop its .safetensors file: the stream is decoded at once."],
  "bad-final-state": ["The stream doesn't decode to its end", WRITER],
  "symbol-out-of-range": ["The stream holds a number that none may hold", WRITER],
  "trailing-data": ["The stream goes on after its end", WRITER],
  "page-limit": ["Too large for this page", "The programs take it: mbtref encode and mbtref decode."],
  "not-a-picture": [
    "This file can't be read",
    "Choose a stream (.mbt), a picture (PNG, JPEG, WebP …) or a model.",
  ],
  "not-a-model": ["This isn't a model of mbt2018", "Choose a .safetensors file of mbtref, or of mbtref import."],
};
const FAILED = ["That didn't work", "The page needs a browser of 2023 or later, and memory for the picture."];
const PLACES = "top left, top, top right, left, middle, right, bottom left, bottom, bottom right".split(", ");

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const image = (/** @type {string} */ id) => /** @type {HTMLImageElement} */ (byId(id));
const choice = /** @type {HTMLSelectElement} */ (byId("model"));
/** @param {string} id @param {string} text */
const write = (id, text) => byId(id).replaceChildren(text);
const say = (/** @type {string} */ text) => write("status", text);
/** @param {boolean} shown @param {string[]} ids */
const show = (shown, ...ids) => {
  for (const id of ids) byId(id).hidden = !shown;
};
const number = (/** @type {number} */ n, digits = 0) =>
  n.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const decibels = (/** @type {number} */ n) => (n === Infinity ? "∞" : number(n, 2));

/** An element. @param {string} tag and class, as "p.kind" @param {(Node | string)[]} content */
function element(tag, ...content) {
  const [name, className = ""] = tag.split(".");
  const made = Object.assign(document.createElement(name), { className });
  made.append(...content);
  return made;
}

/** @type {Shelf} the models, by fingerprint */
let shelf = {};
/** @type {Worker | null} */
let worker = null;
/** @type {Job | null} the job in hand */
let working = null;
/** @type {Job | null} the last one that wasn't a model */
let last = null;
/** @type {Given | null} a stream whose model isn't here */
let waiting = null;
let said = 0; // when a part of the work was last announced
/** @type {string[]} addresses of what is shown */
let addresses = [];

/** @param {Blob} blob */
function address(blob) {
  addresses.push(URL.createObjectURL(blob));
  return addresses[addresses.length - 1];
}

// ---- Work ---------------------------------------------------------------------------------------------------------

/** Takes the files of a drop or of the button: a model and what waits for it, or one of them. @param {File[]} files */
function takeAll(files) {
  const isModel = (/** @type {File} */ file) => /\.safetensors$/i.test(file.name);
  const [models, others] = [files.filter(isModel), files.filter((file) => !isModel(file))];
  const [model, other] = [models, others].map(([file, ...more]) => {
    const count = more.length ? `, the first of ${more.length + 1} files` : "";
    return file && { file, name: file.name, title: file.name + count };
  });
  if (model && other) waiting = other;
  if (model ?? other) take(model ?? other);
  else say("That wasn't a file: save it first, and then drop it.");
}

/** Begins the work on a file. It takes the place of an older one. @param {Given} given */
async function take({ file: given, name, title = name }) {
  if (working) stop();
  /** @type {Job} */
  const job = { file: new Blob(), name, title, task: "model" };
  working = job;
  clear();
  write("title", title);
  say(`Working on ${title}`);
  show(true, "result", "cancel");
  byId("result").ariaBusy = "true";
  document.body.classList.add("begun");
  if (document.activeElement !== choice) byId("title").focus();
  try {
    const file = await given;
    job.file = file;
    if (!/\.safetensors$/i.test(name)) {
      const start = new TextDecoder("latin1").decode(await file.slice(0, 3).arrayBuffer());
      if (job !== working) return;
      job.task = /\.mbt$/i.test(name) || start === "MBT" ? "decode" : "encode";
      [last, waiting] = [job, null];
    }
    byId("parts").replaceChildren(...PARTS_OF[job.task].map(part));
    const size = job.task === "encode" ? await sizeOf(file) : {};
    if (job === working) ask({ ...job, ...size, shelf, fingerprint: choice.value });
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    if (job === working) refuse({ kind: "not-a-picture", message: `${name}: ${message}` });
  }
}

/** A file beside the page. @param {string} path */
async function fetched(path) {
  const answer = await fetch(path);
  if (answer.ok) return answer.blob();
  throw new Error(`it isn't beside the page: the server says ${answer.status}`);
}

/** The size of a picture, which a browser finds without decoding it. @param {Blob} file */
async function sizeOf(file) {
  const probe = new Image();
  const url = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      const failed = () => reject(new Error("neither a stream nor a picture that this browser knows."));
      Object.assign(probe, { onload: resolve, onerror: failed, src: url });
    });
    return { height: probe.naturalHeight, width: probe.naturalWidth };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @param {import("./worker.mjs").Job} job */
function ask(job) {
  worker ??= new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = ({ message }) => refuse({ kind: "failed", message: message || "The worker doesn't start." });
  worker.postMessage(job);
}

/** What the worker tells. @param {any} news */
function hear({ part, share, time, done, times, refused }) {
  if (part) advance(part, share, time);
  if (refused) refuse(refused);
  if (!done) return;
  const job = /** @type {Job} */ (working);
  const total = /** @type {number[]} */ (Object.values(times)).reduce((sum, each) => sum + each, 0);
  for (const name of PARTS_OF[job.task]) {
    if (name in times) advance(name, times[name] / total || 0, times[name]);
    else byId(`part-${name}`).remove(); // the model was read before
  }
  write("time", `Time: ${number(total / 1000, 1)} s`);
  finish();
  if (job.task === "model") learn(job, done);
  else present(job, done);
}

/** Ends the work, and the thread with it. */
function stop() {
  if (worker) worker.onmessage = worker.onerror = null;
  worker?.terminate();
  [worker, working] = [null, null];
}

/** The end of the work, good or bad. */
function finish() {
  working = null;
  if (document.activeElement === byId("cancel")) byId("title").focus();
  show(false, "cancel");
  byId("result").ariaBusy = "false";
}

/** Puts a dropped model on the shelf, and decodes the stream that waits for it. @param {Job} job @param {any} found */
function learn({ file, name }, { fingerprint, N, M }) {
  const stem = name.replace(/\.safetensors$/i, "");
  shelf[fingerprint] = { name: stem, bytes: file.size, source: file };
  offer(fingerprint);
  if (waiting) take(waiting);
  else say(`Model ${stem} is ready: N = ${N}, M = ${M}, fingerprint ${fingerprint}. Drop a stream or a picture.`);
}

/** Lists the models for pictures. @param {string} fingerprint of the one that is chosen */
function offer(fingerprint) {
  const options = Object.entries(shelf).map(([value, { name, about }]) => new Option(about ?? name, value));
  choice.replaceChildren(...options);
  choice.value = fingerprint;
}

// ---- What is shown ------------------------------------------------------------------------------------------------

/** Takes away what is shown of an older file. */
function clear() {
  for (const url of addresses) URL.revokeObjectURL(url);
  addresses = [];
  for (const id of ["refusal", "parts"]) byId(id).replaceChildren();
  for (const id of ["decoded", "other", "map"]) image(id).removeAttribute("src");
  show(false, "figure", "results", "time", "compared");
}

/** A part of the work, not begun. @param {string} name */
function part(name) {
  const bar = Object.assign(document.createElement("progress"), { value: 0, ariaLabel: PARTS[name] });
  const item = element("li", element("span", PARTS[name]), bar, element("span.spent", "–"));
  return Object.assign(item, { id: `part-${name}` });
}

/** @param {string} name of a part @param {number} share @param {number} time in milliseconds */
function advance(name, share, time) {
  const [, bar, spent] = byId(`part-${name}`).children;
  const progress = /** @type {HTMLProgressElement} */ (bar);
  if (progress.value === 0 && performance.now() - said > 1000) {
    said = performance.now();
    say(`${PARTS[name]}: ${working?.title}`);
  }
  progress.value = Math.max(share, 0.01);
  spent.textContent = `${number(time / 1000, 2)} s`;
}

/** @param {{kind: string, offset?: number, message: string}} refused */
function refuse({ kind, offset, message }) {
  const [head, advice] = REFUSALS[kind] ?? FAILED;
  if (!(kind in REFUSALS)) stop();
  if (kind === "unknown-model") waiting = last;
  finish();
  const text = message.replace(/^[a-z-]+ at byte \d+: /, "");
  const where = offset === undefined ? text : `Byte ${number(offset)}: ${text}.`;
  const named = element("p.kind", "kind ", element("code", kind));
  byId("parts").replaceChildren();
  byId("refusal").replaceChildren(element("h3", head), element("p", where), element("p", advice), named);
  say(""); // an alert is read by itself
}

/** @param {Job} job @param {any} done of the worker */
function present(job, done) {
  const { height, width, bytes, psnr, digests, id, fingerprint } = done;
  const model = shelf[fingerprint].name;
  const bpp = (/** @type {number} */ size) => number((8 * size) / (height * width), 3);
  /** @type {[string, string][]} */
  const numbers = [[bpp(bytes), "bits per pixel"]];
  numbers.push([number(bytes), "bytes"], [`${width} × ${height}`, "pixels"]);
  if (psnr !== undefined) numbers.push([decibels(psnr), "dB PSNR"]);
  const large = numbers.map(([n, unit]) => element("p", element("b", n), " ", element("span", unit)));
  byId("numbers").replaceChildren(...large);
  const [latents, pixels] = [mark(digests.latents), mark(digests.pixels)];
  facts("digests", ["latents", verdict(digests.latents, id)], ["pixels", verdict(digests.pixels, id)]);
  facts(
    "header",
    ["model", `${model}, fingerprint `, element("code", fingerprint)],
    ["format", "mbt2018, version 1"],
    ["size", `${number(bytes)} bytes, 20 of them the header`],
  );
  showPicture(job, done, `${model}, ${bpp(bytes)} bpp`);
  showMap(done);
  if (psnr !== undefined) compare(done, model, bpp);
  byId("notes").replaceChildren(...notes(job, done).map((line) => element("li", line)));
  const stem = job.name.replace(/\.[^.]*$/, "");
  byId("downloads").replaceChildren(
    download("Download the stream", address(done.file), `${stem}.mbt`),
    download("Download the picture as PNG", image("decoded").src, `${stem}-${model}.png`),
  );
  show(true, "figure", "results", "time");
  const verb = job.task === "encode" ? "Encoded" : "Decoded";
  say(`${verb} ${job.title}: ${bpp(bytes)} bits per pixel. Latents: ${latents.words}. Pixels: ${pixels.words}.`);
}

/** @param {string} text @param {string} href @param {string} name of the file */
const download = (text, href, name) => Object.assign(element("a.button", text), { href, download: name });

/** @param {import("./worker.mjs").Digest} digest */
function mark({ found, golden }) {
  if (!golden) return { sign: "–", words: "no golden ones are known for this stream", state: "unknown" };
  if (found === golden) return { sign: "✓", words: "equal the golden ones", state: "equal" };
  return { sign: "✗", words: "differ from the golden ones", state: "differ" };
}

/** @param {import("./worker.mjs").Digest} digest @param {string} id of the golden vector */
function verdict(digest, id) {
  const { sign, words, state } = mark(digest);
  const strong = element("strong", Object.assign(element("span", `${sign} `), { ariaHidden: "true" }), words);
  const source = state === "unknown" ? "" : ` of ${id}`;
  return element(`div.${state}`, strong, source, element("code.digest", digest.found));
}

/** @param {string} id of a dl @param {[string, ...(Node | string)[]][]} rows */
function facts(id, ...rows) {
  const items = rows.flatMap(([term, ...content]) => [element("dt", term), element("dd", ...content)]);
  byId(id).replaceChildren(...items);
}

/** The picture, with the original or JPEG left of a divider. @param {Job} job @param {any} done @param {string} tag */
function showPicture({ title, file }, { height, width, png, jpeg, psnr }, tag) {
  const [frame, side, compared] = [byId("frame"), Math.max(width, height), psnr !== undefined];
  const sizes = { "--width": width, "--height": height, "--enlarged": Math.max(1, Math.floor(384 / side)) };
  for (const [name, size] of Object.entries(sizes)) frame.style.setProperty(name, String(size));
  frame.classList.toggle("pixels", side <= 192);
  frame.classList.toggle("divided", compared);
  Object.assign(image("decoded"), { src: address(png), alt: `${title}, decoded` });
  show(compared, "other", "divider", "beside");
  show(Boolean(jpeg), "jpeg");
  for (const id of ["left", "right"]) write(id, compared ? tag : "");
  if (!compared) return;
  const [original, other] = [address(file), jpeg && address(jpeg.blob)];
  const choose = () => {
    const isJpeg = jpeg && input("is-jpeg").checked;
    write("left", isJpeg ? `JPEG, quality ${jpeg.quality}` : "original");
    image("other").src = isJpeg ? other : original;
    image("other").alt = `${title}, ${byId("left").textContent}`;
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
function showMap({ width, map: { blob, colours, most, columns, parts } }) {
  const at = (/** @type {number} */ value) => `${PLACES[parts.indexOf(value)]} (${number(value, 2)})`;
  const ends = parts.length && [at(Math.max(...parts)), at(Math.min(...parts))];
  const words = ends ? `Of nine parts, the ${ends[0]} takes the most and the ${ends[1]} the fewest.` : "";
  write("words", `Each square has 16×16 pixels and takes up to ${number(most, 2)} bits per pixel. ${words}`);
  Object.assign(image("map"), { src: address(blob), alt: `Map of the bits per pixel. ${words}` });
  image("map").style.width = `${(100 * 16 * columns) / width}%`;
  byId("colours").style.background = `linear-gradient(to right, ${colours})`;
  write("most", `${number(most, 2)} bits per pixel`);
  uncover();
}

/** Shows the map, or hides it. */
function uncover() {
  show(input("mapped").checked, "map", "legend", "words");
  image("map").style.opacity = `${input("strength").value}%`;
}

/** The table beside JPEG. @param {any} done @param {string} model @param {(size: number) => string} bpp */
function compare({ bytes, psnr, jpeg }, model, bpp) {
  const rows = [[`mbt2018, ${model}`, number(bytes), bpp(bytes), decibels(psnr)]];
  if (jpeg) {
    const { size } = jpeg.blob;
    rows.push([`JPEG, quality ${jpeg.quality}`, number(size), bpp(size), decibels(jpeg.psnr)]);
  }
  const lines = rows.map(([name, ...cells]) => {
    const head = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
    return element("tr", head, ...cells.map((cell) => element("td", cell)));
  });
  byId("rows").replaceChildren(...lines);
  show(true, "compared");
}

/** What has to be known of a result. @param {Job} job @param {any} done @returns {string[]} */
function notes({ task }, { bytes, transparent, jpeg, exact }) {
  const share = jpeg && `${number((100 * jpeg.blob.size) / bytes, 1)} % of the stream's bytes`;
  return [
    share && jpeg.blob.size <= bytes && `JPEG is this browser's own: the best one that isn't larger, ${share}.`,
    share &&
      jpeg.blob.size > bytes &&
      `JPEG is this browser's own, of the lowest quality: the smallest one, ${share}.`,
    task === "encode" && !jpeg && "This browser writes no JPEG to compare with.",
    transparent && "The picture has transparent pixels. They were put on white, for JPEG too.",
    !exact && "This browser alters pixels that a page reads, against tracking: what is read or shown isn't exact.",
  ].filter((line) => typeof line === "string");
}

// ---- The beginning ------------------------------------------------------------------------------------------------

/** @param {{name: string, file: string, about: string}} example */
function exampleOf({ name, file, about }) {
  const button = element("button", element("b", name), element("span", about));
  button.onclick = () => take({ file: fetched(file), name: file.slice(file.lastIndexOf("/") + 1), title: name });
  return element("li", button);
}

async function begin() {
  byId("fallback").remove();
  const { models, examples } = await (await fetch("contents.json")).json();
  shelf = models;
  offer(Object.keys(shelf).find((each) => shelf[each].name === "lite-q4") ?? "");
  byId("list").replaceChildren(...examples.map(exampleOf));
  show(true, "intake", "shelf");
}

byId("choose").onclick = () => input("file").click();
input("file").onchange = () => {
  takeAll([...(input("file").files ?? [])]);
  input("file").value = "";
};
byId("cancel").onclick = () => {
  say(`Cancelled: ${working?.title}`);
  stop();
  last = null;
  finish();
  clear();
  show(false, "result");
  byId("choose").focus();
};
choice.onchange = () => {
  if (last?.task === "encode") take(last);
};
input("divider").oninput = divide;
input("mapped").onchange = input("strength").oninput = uncover;
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  takeAll([...(event.dataTransfer?.files ?? [])]);
});
begin().catch((error) => say(`The page isn't whole: ${error}. Write it again with 'mbtref page'.`));
