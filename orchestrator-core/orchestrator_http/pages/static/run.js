// One answer being watched: follows its stream, and after a lost connection goes on at its offset.

import { ApiError, request } from "./api.js";
import { events } from "./sse.js";

const RETRY_MS = [250, 500, 1000, 2000, 4000];

/** The pieces of an answer by offset, so that a seam can take back what was never stored. */
export class Answer {
  constructor() {
    this.offset = 0;
    this.items = [];
  }

  /** Apply one event; repeated offsets change nothing. */
  apply({ id, event, data }) {
    if (event === "seam" && Number.isInteger(data.from)) {
      this.items = this.items.filter((item) => item.offset <= data.from);
      this.offset = Math.min(this.offset, data.from);
    }
    if (id <= this.offset) return;
    this.offset = id;
    if (event === "seam") this.items.push({ offset: id, seam: data });
    else if (data.token !== undefined || data.thinking !== undefined) this.items.push({ offset: id, ...data });
  }

  /** The text, its seams with their places in it (UTF-16), and what the model thought before. */
  read() {
    let text = "";
    let thoughts = "";
    const seams = [];
    for (const { token = "", thinking = "", seam } of this.items) {
      if (seam) seams.push({ ...seam, at: text.length });
      text += token;
      thoughts += thinking;
    }
    return { text, seams, thoughts };
  }
}

/**
 * Watch a run to its end.
 * @param first the response of POST /chat/stream, or null to attach to a run that exists
 * @param onChange called after each event with the Answer
 * @returns the data of the final event, or throws ApiError for a failed run
 */
export async function watch(runId, first, onChange, signal) {
  const answer = new Answer();
  let response = first;
  for (let attempt = 0; ; attempt += 1) {
    try {
      response ??= await request(`runs/${encodeURIComponent(runId)}/stream?from=${answer.offset}`, { signal });
      for await (const event of events(response)) {
        signal.throwIfAborted();
        attempt = 0;
        if (event.event === "error") throw new ApiError(502, event.data);
        if (event.data.done) return event.data;
        answer.apply(event);
        onChange(answer);
      }
    } catch (error) {
      if (error instanceof ApiError || signal.aborted) throw error;
      if (attempt >= 60) throw new ApiError(0, { error: { message: "The server cannot be reached.", hint: "The answer is kept there; reload the page when it is back." } });
    }
    response = null;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
  }
}
