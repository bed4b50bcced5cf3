// Requests to the studio: JSON in, JSON out, and streams of server-sent events.

export class Refused extends Error {}

/** The error for what the server said, in the reader's language. */
async function refused(message) {
  const { said } = await import("./said.js");
  return new Refused(said(message));
}

async function checked(response) {
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    const said = await response.json();
    message = said.error?.message ?? message;
  } catch {
    // no JSON: the status must do
  }
  throw await refused(message);
}

export async function get(address) {
  return (await checked(await fetch(address))).json();
}

export async function send(method, address, body, signal) {
  const given = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await checked(await fetch(address, { method, signal, ...given }));
  return response.status === 204 ? null : response.json();
}

export const post = (address, body, signal) => send("POST", address, body, signal);

/** Send a file as it is, with progress from 0 to 1. */
export function upload(address, file, progress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = async () => failed(await refused("the connection was lost"));
    request.onload = async () => {
      let said = null;
      try {
        said = JSON.parse(request.responseText);
      } catch {
        // no JSON: the status must do
      }
      if (request.status < 300) done(said);
      else failed(await refused(said?.error?.message ?? `${request.status} ${request.statusText}`));
    };
    request.send(file);
  });
}

/** The events of a POST's answer, parsed; ends at `[DONE]` or when `signal` aborts. */
export async function* stream(address, body, signal) {
  const response = await checked(await fetch(address, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (waiting + value).split("\n\n");
    waiting = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue;
      const event = JSON.parse(data);
      if (event.error) throw await refused(event.error.message);
      yield event;
    }
  }
}
