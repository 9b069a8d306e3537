/** Asks the server over HTTP, with the API key if it wants one. */

const KEPT = "market-pipeline-api-key";
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;

/** What the server refused, in its words. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Whether what was refused with a status may be had by and by, as it is. */
export function isPassing(status) {
  return status === 429 || status >= 500;
}

/** Why `get` has failed, in a sentence. */
export function reasonOf(error) {
  const text = error instanceof TypeError ? "The server does not answer" : error.message;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** How many milliseconds to wait after so many failures in a row; not all pages come at once. */
export function waitAfter(failures) {
  return Math.min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT) * (0.75 + Math.random() / 2);
}

export function apiKey() {
  return sessionStorage.getItem(KEPT);
}

let asking = null;

/** Ask the reader of the page for a key, once for all requests that miss it. */
export function askForKey(reason) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key-dialog");
    const input = document.getElementById("key");
    if (apiKey()) document.getElementById("key-note").textContent = reason;
    input.value = "";
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEPT, input.value.trim());
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
    input.focus();
  });
  return asking;
}

/**
 * Return what a path of the API answers, read as JSON.
 *
 * Throws a Refusal when the server refuses, a TypeError when there is no server.
 */
export async function get(path, parameters = {}, signal = undefined) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  for (;;) {
    const key = apiKey();
    const reply = await fetch(url, { headers: key ? { "X-API-Key": key } : {}, signal });
    if (reply.ok) return reply.json();
    const problem = await reply.json().catch(() => ({}));
    const refusal = new Refusal(reply.status, problem.detail ?? `${path} answers ${reply.status}`);
    if (reply.status !== 401) throw refusal;
    // Another request may have got a better key meanwhile.
    if (key === apiKey()) await askForKey(refusal.message);
  }
}
