// Loads the official client from the server. It isn't part of the page: the server
// serves it from where `npm ci` put it, and without it answers 404.

const address = new URL("../socket.io/socket.io.esm.min.js", import.meta.url);

/** The client could not be had; `missing` tells a server without it from no server. */
export class ClientUnavailable extends Error {
  constructor(missing, cause) {
    super(missing ? "the client script is not installed" : "the server did not answer", { cause });
    this.missing = missing;
  }
}

/** Whether the server has the client script now: true, false, or null when it doesn't answer. */
export async function clientInstalled() {
  try {
    const answer = await fetch(address, { method: "HEAD", cache: "no-store" });
    return answer.ok;
  } catch {
    return null;
  }
}

export async function loadClient() {
  try {
    return await import(address.href);
  } catch (cause) {
    throw new ClientUnavailable((await clientInstalled()) === false, cause);
  }
}
