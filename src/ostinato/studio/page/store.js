// What lies in the studio's folder, kept up to date by server-sent events.

import { get } from "./client.js";

export const store = { state: null, settings: null, runs: [], texts: [], comparisons: [] };
const watchers = new Set();

/** Call `act(part)` whenever a part of the store ("runs", "texts", "comparisons") changes. Returns how to stop. */
export function watch(act) {
  watchers.add(act);
  return () => watchers.delete(act);
}

export async function open() {
  const [state, texts, runs, comparisons] = await Promise.all(
    ["state", "texts", "runs", "comparisons"].map((what) => get(`/studio/api/${what}`)));
  Object.assign(store, { state, ...texts, ...runs, ...comparisons });
  const events = new EventSource("/studio/api/events");
  for (const part of ["runs", "texts", "comparisons"]) {
    events.addEventListener(part, (event) => {
      store[part] = JSON.parse(event.data)[part];
      for (const act of watchers) act(part);
    });
  }
}

/** The settings and recipes, fetched when they are first asked for. */
export async function settings() {
  return (store.settings ??= await get("/studio/api/settings"));
}

export const run = (name) => store.runs.find((one) => one.name === name);
export const models = () => store.runs.filter((one) => one.has_model && one.writes).map((one) => one.name);
