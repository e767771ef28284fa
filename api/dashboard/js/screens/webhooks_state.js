// What a webhook and a delivery are doing, in words.

/** @typedef {['' | 'ok' | 'warn' | 'bad' | 'info', string]} Words the kind of a tag, and its text */

/** What a webhook is called: its description, or its host. @param {any} hook */
export const nameOf = hook => hook.description || new URL(hook.url).host;

/** @param {any} hook @returns {Words} */
export function stateOf({enabled, disabled_reason: reason, circuit, failing_since: failing}) {
  if (!enabled) return reason ? ['bad', 'disabled by itself'] : ['warn', 'paused'];
  if (circuit.state === 'open') return ['warn', 'rests'];
  if (circuit.state === 'half_open') return ['warn', 'tries one'];
  return failing ? ['bad', 'fails'] : ['ok', 'sends'];
}

/** @type {Record<string, Words>} */
export const DELIVERY = {delivered: ['ok', 'delivered'], pending: ['warn', 'waits'], failed: ['bad', 'failed']};

/** The answer of an attempt, in words. @param {any} attempt */
export const answerOf = attempt => (attempt.status ? String(attempt.status) : 'no answer');

/** @param {any} attempt */
export const isTaken = attempt => attempt.status >= 200 && attempt.status < 300;
