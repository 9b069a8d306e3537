/** Asks the server over HTTP, with the API key if it wants one. */

const KEPT = "market-pipeline-api-key";

/** What the server refused, in its words. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
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
